module github.com/shardlane/shardlane

go 1.25.0

require (
	github.com/aws/aws-lambda-go v1.36.0
	github.com/aws/aws-sdk-go-v2 v1.25.1
	github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream v1.6.1
	github.com/aws/aws-sdk-go-v2/service/kinesis v1.27.0
	github.com/aws/smithy-go v1.20.1
	github.com/cenkalti/backoff/v4 v4.1.3
	github.com/google/go-cmp v0.7.0
	github.com/segmentio/asm v1.2.1
	golang.org/x/sync v0.1.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.3.1 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.6.1 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
	golang.org/x/sys v0.0.0-20220412211240-33da011f77ad // indirect
)
