// Package wire decodes replies to GetRecords in place of the SDK's deserializer, which costs more than all the rest of
// reading. A [Decoder] stands at the deserialize step of a call: the user's client, its signing, endpoints, error handling
// and middleware are as they were. A [Line] is what connections they come over.
//
// The Decoder only takes replies that leave no doubt. Whatever it does not expect, it leaves to the SDK's own deserializer,
// which gets the same bytes: then the records are the SDK's, and so is the error.
package wire

import (
	"context"
	"net/http"
	"reflect"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// A Decoder decodes replies to GetRecords, and keeps buffers for the next ones. The zero value is ready. It may be used by
// many calls at a time.
type Decoder struct {
	Spoil func([]byte) // of tests: called with memory that is given back, before it is used again

	shelf      shelf
	turns      turns
	fast, slow atomic.Int64
}

// Option is an option of a call of GetRecords: it puts the Decoder into the call. In a stack that is not the SDK's it
// changes nothing.
func (d *Decoder) Option(o *kinesis.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error { return d.join(s, nil) })
}

// deserializer is the ID of the SDK's deserializer in all of its versions.
const deserializer = "OperationDeserializer"

func (d *Decoder) join(s *middleware.Stack, l *Loan) error {
	sdk, ok := s.Deserialize.Get(deserializer)
	if !ok || s.ID() != "GetRecords" || home(reflect.TypeOf(sdk)) != home(reflect.TypeFor[kinesis.Client]()) {
		return nil
	}
	_, err := s.Deserialize.Swap(deserializer, &step{d, sdk, l})
	return err
}

// home is the package of a type, or of what it points to.
func home(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}

// Counts tells how many good replies the Decoder has decoded, and how many it left to the SDK.
func (d *Decoder) Counts() (fast, slow int64) { return d.fast.Load(), d.slow.Load() }

// A step is the deserializer of one call: the Decoder in front of the SDK's.
type step struct {
	d   *Decoder
	sdk middleware.DeserializeMiddleware
	l   *Loan // nil: nothing is lent
}

// ID implements middleware.DeserializeMiddleware. It is the SDK's, which other middleware may look for.
func (s *step) ID() string { return s.sdk.ID() }

// HandleDeserialize implements middleware.DeserializeMiddleware.
func (s *step) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, meta, err := next.HandleDeserialize(ctx, in)
	if err == nil {
		if r, ok := good(in.Request, out.RawResponse); ok {
			if page := s.d.decode(r, s.l); page != nil {
				out.Result = page
				return out, meta, nil
			}
		}
	}
	return s.sdk.HandleDeserialize(ctx, in, reply{out, meta, err})
}

// A reply is a handler that has what came.
type reply struct {
	out  middleware.DeserializeOutput
	meta middleware.Metadata
	err  error
}

func (r reply) HandleDeserialize(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
	return r.out, r.meta, r.err
}

// json is the content type of Kinesis' first protocol. There is a CBOR one, too, and what a reply is in is for the reply to
// say. An answer in JSON to a question that was not is one for the SDK.
const json = "application/x-amz-json-1.1"

// good returns the reply if it is one with records in JSON.
func good(request, raw any) (*smithyhttp.Response, bool) {
	q, ok := request.(*smithyhttp.Request)
	if !ok || q.Request == nil || q.Header.Get("Content-Type") != json {
		return nil, false
	}
	r, ok := raw.(*smithyhttp.Response)
	if !ok || r.Response == nil || r.StatusCode != http.StatusOK || r.Body == nil {
		return nil, false
	}
	return r, r.Header.Get("Content-Type") == json && r.Header.Get("Content-Encoding") == ""
}

// decode decodes the body of a reply while it reads it, and closes it. With a nil result the SDK is to read it.
func (d *Decoder) decode(r *smithyhttp.Response, l *Loan) *kinesis.GetRecordsOutput {
	t := &turn{}
	if r.ContentLength > longBody {
		t.of = &d.turns
	}
	t.take(0)
	defer t.give()
	s := d.shelf.take(size(r.ContentLength))
	s.begin(r.Body, r.ContentLength)
	s.turn, s.loan = t, l
	if page, ok := s.page(); ok {
		_ = r.Body.Close() // all of it was read
		r.Body = http.NoBody
		d.shelf.keep(s)
		d.fast.Add(1)
		if l != nil {
			l.of = page
		}
		return page
	}
	r.Body = again(s.raw(), s.err, r.Body) // and the scratch with it
	d.slow.Add(1)
	return nil
}
