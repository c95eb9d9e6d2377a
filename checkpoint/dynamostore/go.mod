module github.com/shardlane/shardlane/checkpoint/dynamostore

go 1.25.0

require (
	github.com/aws/aws-sdk-go-v2 v1.25.1
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.30.0
	github.com/aws/smithy-go v1.20.1
	github.com/shardlane/shardlane v0.0.0
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.3.1 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.6.1 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/accept-encoding v1.11.1 // indirect
	github.com/aws/aws-sdk-go-v2/service/internal/endpoint-discovery v1.9.1 // indirect
	github.com/jmespath/go-jmespath v0.4.0 // indirect
)

replace github.com/shardlane/shardlane => ../..
