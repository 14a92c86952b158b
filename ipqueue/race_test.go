//go:build race

package ipqueue_test

const raceEnabled = true
