package kinesistest_test

// deviations are the assertions that a server is known not to pass, with what it answers instead. A test fails when one
// has vanished.
func deviations(server string) map[string]deviation {
	switch server {
	case "kinesalite":
		return ofKinesalite()
	case "kinesis-local":
		return ofKinesisLocal()
	}
	return nil // kinesistest has none
}

// ofKinesalite are those of kinesalite 3.3.3.
func ofKinesalite() map[string]deviation {
	const (
		noMode   = "it knows no stream modes"
		noARN    = "it knows streams by name only"
		noPages  = "it returns all shards at once"
		noFilter = "it ignores ShardFilter"
		noScale  = "it has no UpdateShardCount"
		noChild  = "it has no ChildShards"
		all      = "0 1 2 3 4 accepted"
	)
	return map[string]deviation{
		"summary/mode":                         {"none", noMode},
		"describe/mode":                        {"none", noMode},
		"describe/limit":                       {"0 1 2 false", noPages},
		"describe/start":                       {"0 1 2 false", noPages},
		"summary/by arn":                       {"ValidationException", noARN},
		"summary/by arn of none":               {"ValidationException", noARN},
		"list/pages":                           {"0 1 2 3 4 [5]", noPages},
		"list/by arn":                          {" InvalidArgumentException", noARN},
		"list/token and name":                  {"accepted", noPages},
		"list/garbage token":                   {unasked, "its process ends"},
		"filters/at latest":                    {all, noFilter},
		"filters/at trim horizon":              {all, noFilter},
		"filters/after shard":                  {all, noFilter},
		"filters/at a time before all":         {all, noFilter},
		"filters/at a time before the split":   {all, noFilter},
		"filters/at a time before the merge":   {all, noFilter},
		"filters/at a time after both":         {all, noFilter},
		"filters/from a time before the merge": {all, noFilter},
		"filters/from a time after both":       {all, noFilter},
		"filters/at no time":                   {all, noFilter},
		"filters/after no shard":               {all, noFilter},
		"filters/of no type":                   {all, noFilter},
		"filters/pages":                        {"0 1 2 3 4 [5] accepted", noFilter},
		"split/closed":                         {"accepted", "it does not look whether the shard is open"},
		"merge/closed":                         {"accepted", "it does not look whether the shards are open"},
		"scaling/above double":                 {"UnknownOperationException", noScale},
		"scaling/double":                       {"UnknownOperationException", noScale},
		"scaling/double/uniform":               {"false", noScale},
		"scaling/below half":                   {"UnknownOperationException", noScale},
		"scaling/half":                         {"UnknownOperationException", noScale},
		"scaling/0":                            {"UnknownOperationException", noScale},
		"put/by arn":                           {"ValidationException", noARN},
		"puts/by arn":                          {"ValidationException", noARN},
		"iterator/AT_TIMESTAMP after all":      {"no answer", "it waits for a record that is not there"},
		"iterator/by arn":                      {"ValidationException", noARN},
		"pages/behind":                         {"false false false false", "MillisBehindLatest is 0 on an open shard"},
		"end 0/split":                          {"", noChild},
		"end 0/from the tip":                   {"", noChild},
		"end 0/merge of 1":                     {"low ", noChild},
		"end 0/merge of 2":                     {"high ", noChild},
		"end 0/told with the last records":     {"false", "the end comes in an answer of its own, as it may"},
		"end 0/not behind":                     {"false", "at the end it tells how long the shard has been closed"},
	}
}

// ofKinesisLocal are those of kinesis-local 0.6.2.
func ofKinesisLocal() map[string]deviation {
	const (
		code      = "it knows no ValidationException"
		plain     = "it answers HTTP 500 without a code"
		unchecked = "it does not check"
		oddRanges = "its equal ranges are one hash key short where the number of shards is a power of two"
	)
	return map[string]deviation{
		"describe/limit above 10,000":        {"InvalidArgumentException", code},
		"create/0 shards":                    {"LimitExceededException", code},
		"create/bad name":                    {"InvalidArgumentException", code},
		"create/long name":                   {"InvalidArgumentException", code},
		"list/max results 0":                 {"UnknownError", plain},
		"list/max results above 10,000":      {"accepted", unchecked},
		"filters/at trim horizon":            {"0 1 2 3 4 accepted", "AT_TRIM_HORIZON is FROM_TRIM_HORIZON"},
		"filters/at a time before all":       {"0 1 2 3 4 accepted", "AT_TRIM_HORIZON is FROM_TRIM_HORIZON"},
		"filters/of no type":                 {" SerializationException", code},
		"split/end above start":              {"-1", "the ending number of a shard that was split is below its own"},
		"split/closed":                       {"ResourceInUseException", "its own code"},
		"split/at its end":                   {"accepted", unchecked},
		"split/at its start":                 {"accepted", unchecked},
		"split/no number":                    {"InvalidArgumentException", code},
		"merge/range":                        {"0-170141183460469231731687303715884105725", oddRanges},
		"merge/closed":                       {"ResourceInUseException", "its own code"},
		"scaling/above double":               {"InvalidArgumentException", "its own code"},
		"scaling/double/uniform":             {"false", oddRanges},
		"scaling/below half":                 {"InvalidArgumentException", "its own code"},
		"scaling/half/uniform":               {"false", oddRanges},
		"scaling/0":                          {"InvalidArgumentException", code},
		"put/hash below a quarter":           {"1", oddRanges},
		"put/hash that is no number":         {"UnknownError", plain},
		"put/no key":                         {"InvalidArgumentException", code},
		"put/key of 257":                     {"InvalidArgumentException", code},
		"put/above 1 MiB":                    {"InvalidArgumentException", code},
		"puts/501":                           {"accepted", unchecked},
		"puts/none":                          {"accepted", unchecked},
		"puts/above 1 MiB":                   {"accepted", unchecked},
		"puts/no key":                        {"InvalidArgumentException", code},
		"iterator/TRIM_HORIZON and a number": {"accepted", unchecked},
		"iterator/no such type":              {"SerializationException", code},
		"iterator/number without sense":      {"accepted", unchecked},
		"iterator/number that is none":       {"InvalidArgumentException", code},
		"iterator/number of another shard":   {"accepted", unchecked},
		"read/garbage":                       {"UnknownError", plain},
		"read/cut":                           {"UnknownError", plain},
		"read/nothing":                       {"UnknownError", plain},
		"read/limit 0":                       {"InvalidArgumentException", code},
		"read/limit above 10,000":            {"InvalidArgumentException", code},
	}
}
