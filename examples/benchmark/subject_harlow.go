package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/kinesis"
	harlow "github.com/harlow/kinesis-consumer"
)

// consumeHarlow is harlow/kinesis-consumer with its defaults, which are the first version of the SDK, a pause of 250 ms behind
// each page, and a store that keeps nothing.
func consumeHarlow(ctx context.Context, j *job, stream string, m *meter) error {
	transport := &http.Transport{ForceAttemptHTTP2: true, MaxIdleConns: 100, IdleConnTimeout: 90 * time.Second} // as net/http's default
	options := session.Options{Config: aws.Config{
		Region: aws.String("us-east-1"), Endpoint: aws.String(j.endpoint()),
		Credentials: credentials.NewStaticCredentials("benchmark", "benchmark", ""),
		HTTPClient:  &http.Client{Transport: transport},
	}}
	if j.Transport == "tls" { // in the SDK's own way, since it sets the roots of the transport itself
		options.CustomCABundle = bytes.NewReader(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: j.Server.Certificate}))
	}
	s, err := session.NewSessionWithOptions(options)
	if err != nil {
		return err
	}
	c, err := harlow.New(stream, harlow.WithClient(kinesis.New(s)), harlow.WithAggregation(j.Load.User > 0),
		harlow.WithShardIteratorType(kinesis.ShardIteratorTypeTrimHorizon))
	if err != nil {
		return err
	}
	return c.Scan(ctx, func(r *harlow.Record) error {
		m.got(1, m.size(r.Data))
		return nil
	})
}
