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
	hint, sentinel := meaning(err)
	if sentinel != nil && !errors.Is(err, sentinel) {
		err = fmt.Errorf("%w: %w", sentinel, err)
	}
	return hint, err
}

// meaning goes from what the client could not even send, by what the service answered, to what the network did.
func meaning(err error) (hint string, sentinel error) {
	if hint, sentinel = unsent(err); hint != "" {
		return hint, sentinel
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		if hint, sentinel = answered(err, api); hint != "" {
			return hint, sentinel
		}
	}
	var reply *smithyhttp.ResponseError
	if errors.As(err, &reply) && reply.HTTPStatusCode() >= http.StatusInternalServerError {
		return "the service has trouble of its own: the call is repeated until it works; if it lasts, see the AWS Health Dashboard", nil
	}
	if hint = network(err); hint != "" {
		return hint, nil
	}
	if unreadable := new(smithy.DeserializationError); errors.As(err, &unreadable) {
		return "what answers is not Kinesis: check the client's endpoint, and proxies on the way to it", nil
	}
	return "the call is repeated until it works; if it lasts, see what the error says", nil
}

// unsent knows the errors of a client that has nothing to send its requests to, or to sign them with. The SDK's client
// has no types for most of them; a test holds the texts to real clients.
func unsent(err error) (hint string, sentinel error) {
	var op, other *smithy.OperationError
	if errors.As(err, &op) {
		text := op.Err.Error()
		switch {
		case errors.As(op.Err, &other), strings.HasPrefix(text, "get identity: "): // other: the call that gets credentials
			return "the client finds no credentials: give AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role of the instance, the task or the pod; they are asked for again until there are some", nil
		case strings.Contains(text, "Missing Region"):
			return "give the client a region: AWS_REGION, config.WithRegion or kinesis.Options.Region", ErrConfig
		case strings.HasPrefix(text, "failed to resolve service endpoint"), strings.HasPrefix(text, "failed to bind endpoint params"):
			return "correct the client's region or endpoint: an endpoint is a URL such as http://localhost:4566", ErrConfig
		}
	}
	var address *url.Error
	if errors.As(err, &address) {
		u, err := url.Parse(address.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return "correct the client's endpoint: it is a URL with a scheme, such as http://localhost:4566", ErrConfig
		}
	}
	if port := new(net.AddrError); errors.As(err, &port) {
		return "correct host and port of the client's endpoint", ErrConfig
	}
	return "", nil
}

// answered knows what the service refuses.
func answered(err error, api smithy.APIError) (hint string, sentinel error) {
	switch code := api.ErrorCode(); {
	case code == "ResourceNotFoundException":
		return "check the stream's name, and the client's region and account", ErrStreamNotFound
	case strings.HasPrefix(code, "KMS") && code != "KMSThrottlingException":
		return "the stream is encrypted: allow kms:Decrypt on its key, and check that the key is enabled", ErrAccessDenied
	case signatureRefused(err):
		hint = "either the secret access key is wrong, or this machine's clock is more than 5 minutes off: check both"
		if ahead, _ := serviceAhead(err); clockOff(err) {
			hint = fmt.Sprintf("this machine's clock is %v off the service's: set it; if it is right, the secret access key is wrong", ahead.Abs().Round(time.Second))
		}
		return hint, ErrAccessDenied
	case code == "AccessDeniedException":
		return "allow kinesis:DescribeStreamSummary, ListShards, GetShardIterator and GetRecords on the stream, and for enhanced fan-out SubscribeToShard, DescribeStreamConsumer and RegisterStreamConsumer", ErrAccessDenied
	case code == "ExpiredTokenException", code == "ExpiredToken":
		return "the session token has expired: give the client new credentials, or a source that renews them", ErrAccessDenied
	case code == "UnrecognizedClientException", code == "InvalidClientTokenId", code == "IncompleteSignatureException",
		code == "MissingAuthenticationTokenException":
		return "check that the client has credentials, and that they are of this partition and account and still valid", ErrAccessDenied
	case reader.Throttled(err):
		return "the service is asked too often: it is asked again, slower; a shard serves 5 reads and 2 MB a second to all its consumers together", nil
	case code == "InvalidArgumentException", code == "ValidationException":
		return "the service does not take the request: check the stream's name or ARN, and what the error says", nil
	case code == "ExpiredIteratorException":
		return "nothing needs to be done: reading goes on behind the last record", nil
	case api.ErrorFault() == smithy.FaultServer, code == "InternalFailure", code == "InternalFailureException", code == "ServiceUnavailable":
		return "the service has trouble of its own: the call is repeated until it works; if it lasts, see the AWS Health Dashboard", nil
	}
	return "", nil
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
