//go:build !linux

package main

// noticeBrokenPipe does nothing where nothing can be watched.
func noticeBrokenPipe() {}
