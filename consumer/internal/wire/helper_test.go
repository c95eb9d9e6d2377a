package wire_test

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "a", SecretAccessKey: "s"}, nil
}

func dump(v any) []byte {
	b, _ := json.Marshal(v)
	return shown(b)
}
