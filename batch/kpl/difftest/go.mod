module github.com/shardlane/shardlane/batch/kpl/difftest

go 1.25.0

replace github.com/shardlane/shardlane => ../../..

require (
	github.com/aws/aws-sdk-go-v2 v1.25.1
	github.com/aws/aws-sdk-go-v2/service/kinesis v1.27.0
	github.com/awslabs/kinesis-aggregation/go/v2 v2.0.0-20211222152315-953b66f67407
	github.com/golang/protobuf v1.5.2
	github.com/google/go-cmp v0.7.0
	github.com/shardlane/shardlane v0.0.0
	google.golang.org/protobuf v1.26.0
)

require (
	github.com/aws/aws-lambda-go v1.36.0 // indirect
	github.com/aws/smithy-go v1.20.1 // indirect
)
