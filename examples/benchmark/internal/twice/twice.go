// Package twice lets one program have both versions of awslabs/kinesis-aggregation, of which harlow/kinesis-consumer uses the
// first and vmware-go-kcl-v2 the second. Both register the same protobuf messages, at which the protobuf package would panic;
// this variable tells it not to. Packages without imports that wait are initialised in the order of their paths (Go 1.21 and
// later), so this one, which needs os only, comes before google.golang.org/protobuf and all that needs it.
package twice

import "os"

func init() {
	if err := os.Setenv("GOLANG_PROTOBUF_REGISTRATION_CONFLICT", "ignore"); err != nil {
		panic(err)
	}
}
