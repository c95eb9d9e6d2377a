package main

func Example() {
	main()
	// Unordered output:
	// charged {"type":"order","id":1}
	// dead letter {"type":"order","id":2,"card":"poison"}: RetryAttemptsExhausted after 3 attempts
	// charged {"type":"order","id":3}
}
