package main

func Example() {
	main()
	// Unordered output:
	// alice: 1 espresso
	// alice: 2 water
	// bob: 1 cortado
	// bob: 2 croissant
	// carol: 1 flat white
}
