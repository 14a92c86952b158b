package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// values say what a flag of a type wants, where the error of its parser speaks of the parser.
var values = map[string]string{
	"bool":   "true or false",
	"uint16": "a number from 0 to 65535",
	"uint64": "a number from 0 up",
	"int64":  "a whole number",
	"int":    "a whole number",
}

// flagError makes the error about a flag's value say what is wanted.
func flagError(_ *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var number *strconv.NumError
	if !errors.As(err, &invalid) || !errors.As(err, &number) {
		return err
	}
	flag := invalid.GetFlag()
	want, ok := values[flag.Value.Type()]
	if !ok {
		return err
	}
	name := "--" + flag.Name
	if flag.Shorthand != "" {
		name = "-" + flag.Shorthand
	}
	return fmt.Errorf("%s %s: want %s", name, printable(invalid.GetValue()), want)
}

// noArguments refuses an argument to a command that takes flags alone. Cobra would call it an unknown command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) != 0 {
		return fmt.Errorf("%s takes no argument: %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// hint is what to do about a command line that cobra refuses.
func hint(cmd *cobra.Command, args []string) string {
	if !cmd.HasParent() && len(args) != 0 {
		if names := cmd.SuggestionsFor(args[0]); len(names) != 0 {
			return "did you mean ipq " + strings.Join(names, ", or ipq ") + "?"
		}
	}
	return "see " + cmd.CommandPath() + " --help"
}
