package consumer_test

import (
	"context"
	"crypto/x509"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"

	"github.com/shardlane/shardlane/consumer"
	"github.com/shardlane/shardlane/consumer/kinesistest"
)

// secret is a source of credentials that has them.
func secret(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
}

// firstError runs a consumer with a client of the SDK and returns the error that it ends with, or the first that it tells
// of; ended says which.
func firstError(t *testing.T, client consumer.Client) (err *consumer.Error, ended bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	told := make(chan error, 1)
	end := consumer.Run(ctx, client, "orders", nothing, silent(), consumer.WithNotify(func(n consumer.Notice) {
		if n.Err != nil {
			select {
			case told <- n.Err:
			default:
			}
			if !errors.Is(n.Err, consumer.ErrConfig) && !errors.Is(n.Err, consumer.ErrAccessDenied) && !errors.Is(n.Err, consumer.ErrStreamNotFound) {
				cancel()
			}
		}
	}))
	if !errors.As(end, &err) {
		select {
		case one := <-told:
			if !errors.As(one, &err) {
				t.Fatalf("told of %v, want a *consumer.Error", one)
			}
		default:
			t.Fatalf("nothing was told, and Run returned %v", end)
		}
		return err, false
	}
	return err, true
}

// What goes wrong between a real client and a service has a hint that names the cause, and ends Run where no waiting
// mends it. The clients are those of the SDK in go.mod, and in CI of the newest one too.
func TestHintsOfRealClients(t *testing.T) {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
		t.Setenv(name, "")
	}
	answer := func(status int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}
	serve := func(h http.Handler, start func(http.Handler) *httptest.Server) string {
		srv := start(h)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	unstarted := func(h http.Handler) *httptest.Server {
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog = logNowhere()
		return srv
	}
	plain := func(h http.Handler) *httptest.Server { s := unstarted(h); s.Start(); return s }
	secure := func(h http.Handler) *httptest.Server { s := unstarted(h); s.StartTLS(); return s }
	cut := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	good := serve(answer(200, `{}`), plain)
	noRole := aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no EC2 IMDS role found")
	}))
	// As config's chain says it: a call of another service failed, here for a network that is not there.
	noMetadata := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, &smithy.OperationError{ServiceID: "ec2imds", OperationName: "GetMetadata", Err: &net.OpError{Op: "dial", Err: errors.New("no route to host")}}
	})
	for _, c := range []struct {
		name, endpoint, region string
		creds                  aws.CredentialsProvider
		hint                   string
		final                  bool
	}{
		{name: "no region", hint: "region: AWS_REGION", final: true},
		{name: "no region, no credentials", creds: noRole, hint: "no credentials"}, // they are asked for first
		{name: "no region's name", region: "us east 1", hint: "region or endpoint", final: true},
		{name: "no scheme: a host", region: "us-east-1", endpoint: "localhost", hint: "scheme", final: true},
		{name: "no scheme: host and port", region: "us-east-1", endpoint: "localhost:4566", hint: "scheme", final: true},
		{name: "no scheme: address and port", region: "us-east-1", endpoint: "127.0.0.1:4566", hint: "a URL such as", final: true},
		{name: "another scheme", region: "us-east-1", endpoint: "ftp://localhost", hint: "scheme", final: true},
		{name: "no host", region: "us-east-1", endpoint: "http://", hint: "endpoint", final: true},
		{name: "no port", region: "us-east-1", endpoint: "http://127.0.0.1:99999", hint: "port", final: true},
		{name: "no credentials", region: "us-east-1", endpoint: good, creds: noRole, hint: "no credentials"},
		{name: "no metadata", region: "us-east-1", endpoint: good, creds: noMetadata, hint: "no credentials"},
		{name: "refused", region: "us-east-1", endpoint: "http://" + closed, hint: "nothing answers"},
		{name: "no such host", region: "us-east-1", endpoint: "http://no-such-host.invalid", hint: "name servers"},
		{name: "untrusted", region: "us-east-1", endpoint: serve(answer(200, "{}"), secure), hint: "certificate is not trusted"},
		{name: "https of http", region: "us-east-1", endpoint: strings.Replace(good, "http:", "https:", 1), hint: "http:// or https://"},
		{name: "a page", region: "us-east-1", endpoint: serve(answer(200, "<html>"), plain), hint: "not Kinesis"},
		{name: "bad gateway", region: "us-east-1", endpoint: serve(answer(502, "<html>"), plain), hint: "trouble of its own"},
		{name: "unavailable", region: "us-east-1", endpoint: serve(answer(503, "{}"), plain), hint: "trouble of its own"},
		{name: "cut", region: "us-east-1", endpoint: serve(cut, plain), hint: "connection broke"},
		{name: "an empty answer", region: "us-east-1", endpoint: good, hint: "repeated until it works"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := kinesis.Options{Region: c.region, Credentials: aws.CredentialsProviderFunc(secret)}
			if c.creds != nil {
				o.Credentials = c.creds
			}
			if c.endpoint != "" {
				o.BaseEndpoint = &c.endpoint
			}
			e, ended := firstError(t, kinesis.New(o))
			if !strings.Contains(e.Hint, c.hint) || ended != c.final || c.final != errors.Is(e, consumer.ErrConfig) {
				t.Errorf("ended: %t, %v\nwant %t, and a hint with %q", ended, e, c.final, c.hint)
			}
		})
	}
}

// refusing is a client whose calls end with an error.
type refusing struct {
	consumer.Client
	err error
}

func (c refusing) DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error) {
	return nil, c.err
}

// What the service refuses, and what a network does that no test can do, has a hint that names the cause.
func TestHintsOfErrors(t *testing.T) {
	code := func(code string) error { return &smithy.GenericAPIError{Code: code, Message: "as AWS says it."} }
	for _, c := range []struct {
		err   error
		hint  string
		final error
	}{
		{code("ResourceNotFoundException"), "stream's name", consumer.ErrStreamNotFound},
		{code("AccessDeniedException"), "allow kinesis:", consumer.ErrAccessDenied},
		{code("ExpiredTokenException"), "expired", consumer.ErrAccessDenied},
		{code("UnrecognizedClientException"), "credentials", consumer.ErrAccessDenied},
		{code("MissingAuthenticationTokenException"), "has credentials", consumer.ErrAccessDenied},
		{code("IncompleteSignatureException"), "credentials", consumer.ErrAccessDenied},
		{code("InvalidSignatureException"), "clock", consumer.ErrAccessDenied},
		{code("KMSAccessDeniedException"), "kms:Decrypt", consumer.ErrAccessDenied},
		{code("KMSDisabledException"), "kms:Decrypt", consumer.ErrAccessDenied},
		{code("KMSInvalidStateException"), "kms:Decrypt", consumer.ErrAccessDenied},
		{code("KMSNotFoundException"), "kms:Decrypt", consumer.ErrAccessDenied},
		{code("KMSOptInRequired"), "kms:Decrypt", consumer.ErrAccessDenied},
		{code("KMSThrottlingException"), "slower", nil},
		{code("ProvisionedThroughputExceededException"), "slower", nil},
		{code("LimitExceededException"), "slower", nil},
		{code("ThrottlingException"), "slower", nil},
		{code("InvalidArgumentException"), "does not take", nil},
		{code("ValidationException"), "does not take", nil},
		{code("InternalFailure"), "trouble of its own", nil},
		{&smithy.GenericAPIError{Code: "Oops", Fault: smithy.FaultServer}, "trouble of its own", nil},
		{code("SomethingNewException"), "see what the error says", nil},
		{context.DeadlineExceeded, "no answer in time", nil},
		{os.ErrDeadlineExceeded, "no answer in time", nil},
		{&net.DNSError{Err: "server misbehaving", Name: "kinesis"}, "looked up", nil},
		{&net.DNSError{Err: "i/o timeout", Name: "kinesis", IsTimeout: true}, "no answer in time", nil},
		{x509.CertificateInvalidError{Reason: x509.Expired}, "clock", nil},
		{x509.HostnameError{Certificate: new(x509.Certificate), Host: "kinesis"}, "not trusted", nil},
		{errors.New("anything"), "see what the error says", nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			srv := kinesistest.NewServer("orders", 1)
			defer srv.Close()
			e, ended := firstError(t, refusing{srv.Client(), c.err})
			if !strings.Contains(e.Hint, c.hint) || ended != (c.final != nil) || c.final != nil && !errors.Is(e, c.final) || !errors.Is(e, c.err) {
				t.Errorf("%v: ended: %t, %v\nwant %v, and a hint with %q", c.err, ended, e, c.final, c.hint)
			}
			if text := e.Error(); !strings.HasSuffix(text, "; "+e.Hint) || strings.Count(text, "consumer:") != 1 {
				t.Errorf("%s: want one consumer: and the hint at the end", text)
			}
		})
	}
}

// An Error is made in one place, which gives it a hint if nobody else has.
func TestErrorsAreMadeInOnePlace(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	made := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			function, _ := d.(*ast.FuncDecl)
			ast.Inspect(d, func(n ast.Node) bool {
				var kind ast.Expr
				switch n := n.(type) {
				case *ast.CompositeLit:
					kind = n.Type
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "new" && len(n.Args) == 1 {
						kind = n.Args[0]
					}
				}
				if id, ok := kind.(*ast.Ident); ok && id.Name == "Error" {
					if made++; function == nil || function.Name.Name != "newError" {
						t.Errorf("%s: an Error that newError has not made", name)
					}
				}
				return true
			})
		}
	}
	if made != 1 {
		t.Errorf("%d places make an Error, want newError", made)
	}
}

func logNowhere() *log.Logger { return log.New(io.Discard, "", 0) }
