//go:build !linux

package main

// ignoreBrokenPipe does nothing where nothing can be watched.
func ignoreBrokenPipe() {}
