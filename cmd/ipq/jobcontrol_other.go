//go:build !linux

package main

import "os"

// jobControl takes no signals where nothing can be watched.
type jobControl struct{ stops, continued chan os.Signal }

func takeStops(bool) *jobControl { return new(jobControl) }

func (*jobControl) stale(os.Signal) bool { return true }

func (*jobControl) stop(os.Signal) {}

func (*jobControl) leave() {}
