package consumer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/shardlane/shardlane/consumer/internal/reader"
)

// classified says what to do about an error of a call, and wraps it with the sentinel that it stands for. The hint is
// never empty. An error that no waiting mends wraps one that is final.
func classified(err error) (hint string, _ error) {
	sentinel, hint := meaning(err)
	if sentinel != nil && !errors.Is(err, sentinel) {
		err = fmt.Errorf("%w: %w", sentinel, err)
	}
	return hint, err
}

// meaning goes from what the client could not even send, by what the service answered, to what the network did.
func meaning(err error) (sentinel error, hint string) {
	if sentinel, hint = unsent(err); hint != "" {
		return sentinel, hint
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if sentinel, hint = answered(err, api); hint != "" {
			return sentinel, hint
		}
	}
	var reply *smithyhttp.ResponseError
	if errors.As(err, &reply) && reply.HTTPStatusCode() >= http.StatusInternalServerError {
		return nil, "the service has trouble of its own: the call is repeated until it works; if it lasts, see the AWS Health Dashboard"
	}
	if hint = network(err); hint != "" {
		return nil, hint
	}
	if unreadable := new(smithy.DeserializationError); errors.As(err, &unreadable) {
		return nil, "what answers is not Kinesis: check the client's endpoint, and proxies on the way to it"
	}
	return nil, "the call is repeated until it works; if it lasts, see what the error says"
}

// unsent knows the errors of a client that has nothing to send its requests to, or to sign them with. The SDK's client
// has no types for most of them; a test holds the texts to real clients.
func unsent(err error) (sentinel error, hint string) {
	var op, other *smithy.OperationError
	if errors.As(err, &op) {
		text := op.Err.Error()
		switch {
		case errors.As(op.Err, &other), strings.HasPrefix(text, "get identity: "): // other: the call that gets credentials
			return nil, "the client finds no credentials: give AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of the instance, the task or the pod; they are asked for again until there are some"
		case strings.Contains(text, "Missing Region"):
			return ErrConfig, "give the client a region: AWS_REGION, config.WithRegion or kinesis.Options.Region"
		case strings.HasPrefix(text, "failed to resolve service endpoint"), strings.HasPrefix(text, "failed to bind endpoint params"):
			return ErrConfig, "correct the client's region or endpoint: an endpoint is a URL such as http://localhost:4566"
		}
	}
	var address *url.Error
	if errors.As(err, &address) {
		u, err := url.Parse(address.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return ErrConfig, "correct the client's endpoint: it is a URL with a scheme, such as http://localhost:4566"
		}
	}
	if port := new(net.AddrError); errors.As(err, &port) {
		return ErrConfig, "correct host and port of the client's endpoint"
	}
	return nil, ""
}

// answered knows what the service refuses.
func answered(err error, api smithy.APIError) (sentinel error, hint string) {
	switch code := api.ErrorCode(); {
	case code == "ResourceNotFoundException":
		return ErrStreamNotFound, "check the stream's name, and the client's region and account"
	case strings.HasPrefix(code, "KMS") && code != "KMSThrottlingException":
		return ErrAccessDenied, "the stream is encrypted: allow kms:Decrypt on its key, and check that the key is enabled"
	case signatureRefused(err):
		hint = "either the secret access key is wrong, or this machine's clock is more than 5 minutes off: check both"
		if ahead, _ := serviceAhead(err); clockOff(err) {
			hint = fmt.Sprintf("this machine's clock is %v off the service's: set it; if it is right, the secret access key is wrong", ahead.Abs().Round(time.Second))
		}
		return ErrAccessDenied, hint
	case code == "AccessDeniedException":
		return ErrAccessDenied, "allow kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords on the stream"
	case code == "ExpiredTokenException", code == "ExpiredToken":
		return ErrAccessDenied, "the session token has expired: give the client new credentials, or a source that renews them"
	case code == "UnrecognizedClientException", code == "InvalidClientTokenId", code == "IncompleteSignatureException",
		code == "MissingAuthenticationTokenException":
		return ErrAccessDenied, "check that the client has credentials, and that they are of this partition and account and still valid"
	case reader.Throttled(err):
		return nil, "the service is asked too often: it is asked again, slower; a shard serves 5 reads and 2 MB a second to all its consumers together"
	case code == "InvalidArgumentException", code == "ValidationException":
		return nil, "the service does not take the request: check the stream's name or ARN, and what the error says"
	case code == "ExpiredIteratorException":
		return nil, "nothing needs to be done: reading goes on behind the last record"
	case api.ErrorFault() == smithy.FaultServer, code == "InternalFailure", code == "InternalFailureException", code == "ServiceUnavailable":
		return nil, "the service has trouble of its own: the call is repeated until it works; if it lasts, see the AWS Health Dashboard"
	}
	return nil, ""
}

// network knows why there was no answer.
func network(err error) (hint string) {
	var (
		name      *net.DNSError
		dial      *net.OpError
		timeout   net.Error
		verify    *tls.CertificateVerificationError
		record    tls.RecordHeaderError
		alert     tls.AlertError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the endpoint's certificate is not valid now: check this machine's clock, and the certificate"
	case errors.As(err, &verify), errors.As(err, &authority), errors.As(err, &host), errors.As(err, &invalid):
		return "the endpoint's certificate is not trusted: check the endpoint, proxies on the way to it, and this machine's root certificates"
	case errors.As(err, &record), errors.As(err, &alert), errors.Is(err, http.ErrSchemeMismatch):
		return "the endpoint does not speak TLS as the client does: check whether it is http:// or https://"
	case errors.As(err, &name) && name.IsNotFound:
		return "no such host: check the client's region and endpoint, and this machine's name servers"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer in time: the call is repeated until it works; if it lasts, check the way to the endpoint (routes, security groups, VPC endpoints, proxies)"
	case errors.As(err, &name):
		return "the host's name could not be looked up: check this machine's name servers"
	case errors.As(err, &dial) && dial.Op == "dial":
		return "nothing answers at the endpoint: check its host and port, and whether it is up"
	}
	var send *smithyhttp.RequestSendError
	if errors.As(err, &dial) || errors.As(err, &send) {
		return "the connection broke: the call is repeated until it works; if it lasts, check the way to the endpoint"
	}
	return ""
}
