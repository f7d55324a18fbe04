package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestFlagsThatSayNothing: blanks, and numbers that are none, are refused before a verb begins.
func TestFlagsThatSayNothing(t *testing.T) {
	for args, want := range map[string]string{
		"train|--print-recipe|--data=": "--data is blank", "train|--print-recipe|--data| ": "--data is blank", "train|--print-recipe|--out|\t": "--out is blank",
		"evaluate|m|--suite=": "--suite is blank", "version|--memory|": "--memory is blank", "run|m|--input=": "--input is blank", "evaluate|m|--set| ": "--set is blank", "evaluate|m|--suite|clean,": "--suite is blank", "soup|m|--lr|nan": "--lr is NaN; use finite numbers",
		"merge|a|b|--weight|0.1,inf": "use finite numbers", "train|--print-recipe|--seed|3|seed=4": "give --seed or seed=4, not both",
		"train|--print-recipe|--data|mnist|data=optdigits": "give --data or data=optdigits, not both", "train|--print-recipe|--resume": "--resume has no effect with --print-recipe",
		"compare|--on|mnist|data=optdigits": "give --on or data=optdigits, not both", "compare|--print-recipe|norm=batch": "norm=batch has no effect with --print-recipe",
		"inpaint|--print-config|--seed|3|seed=4": "give --seed or seed=4, not both", "train|--print-recipe|name=../x|lr": "lr: missing =", "train|lr": "lr: missing =; write key=value",
		"train|--print-recipe|optimizer.lr= ": "optimizer.lr: the value is blank", "train|--print-recipe|=3": "empty key", "train|name=..": "which is no folder within runs",
	} {
		var out, errOut bytes.Buffer
		root := newRoot(&app{out: &out, err: &errOut})
		root.SetArgs(strings.Split(args, "|"))
		if err := execute(t.Context(), root); err == nil || codeOf(err) != exitUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

// TestDataOfAFlagStandsAsItIs: the value of a flag is no sweep and no expression.
func TestDataOfAFlagStandsAsItIs(t *testing.T) {
	for _, name := range []string{"npy:x.npy,y.npy", "dir:a,b", "dir:a=b", "dir:[a]", "dir:'a'", "npy:a=1/x.npy,a=1/y.npy?classes=3"} {
		r, err := readRecipe(nil, name)
		if err != nil || r.Data.String() != name {
			t.Errorf("--data %s gives %s, %v", name, r.Data, err)
		}
	}
}
