package wire

import (
	"runtime"
	"testing"
	"weak"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A client that nobody uses any more is forgotten, and so is its line.
func TestLinesAreForgotten(t *testing.T) {
	used := func() weak.Pointer[awshttp.BuildableClient] {
		c := awshttp.NewBuildableClient()
		Line(&kinesis.Options{HTTPClient: c})
		return weak.Make(c)
	}()
	if _, ok := lines.Load(used); !ok {
		t.Error("there is no line of a client that has just been used")
	}
	for range 1000 {
		runtime.GC()
		if _, ok := lines.Load(used); !ok {
			return
		}
		runtime.Gosched()
	}
	t.Error("the line of a client that is gone is still there")
}
