package dynamostore_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/shardlane/shardlane/checkpoint/dynamostore"
)

// TestReserved hangs the only connection that a client may have, and reads through a reserved one.
func TestReserved(t *testing.T) {
	one := func(tr *http.Transport) { tr.MaxConnsPerHost = 1 }
	limited := new(http.Transport)
	one(limited)
	for name, c := range map[string]aws.HTTPClient{
		"of the SDK": awshttp.NewBuildableClient().WithTransportOptions(one), "of net/http": &http.Client{Transport: limited},
	} {
		t.Run(name, func(t *testing.T) {
			hangs, free := make(chan struct{}), make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if answer, ok := readsLayout(operation(r), string(body)); ok {
					io.WriteString(w, answer)
					return
				}
				if operation(r) == "PutItem" {
					close(hangs)
					<-free
				}
				io.WriteString(w, "{}")
			}))
			defer srv.Close()
			st := dynamostore.New(dynamodb.New(dynamodb.Options{
				Region: "eu-west-1", BaseEndpoint: &srv.URL, HTTPClient: c, Credentials: aws.AnonymousCredentials{},
			}), "table")
			done := make(chan error, 1)
			go func() { done <- calls(st)["PutItem"](t.Context()) }()
			<-hangs
			if err := calls(st.Reserved())["GetItem"](t.Context()); err != nil {
				t.Error(err)
			}
			close(free)
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
