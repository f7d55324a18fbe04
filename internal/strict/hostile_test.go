package strict_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ballast-ml/ballast/internal/strict"
)

// measured runs f and returns its seconds and the megabytes it allocated.
func measured(f func()) (seconds float64, megabytes uint64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	f()
	seconds = time.Since(start).Seconds()
	runtime.ReadMemStats(&after)
	return seconds, (after.TotalAlloc - before.TotalAlloc) >> 20
}

// Every way to make a small document expensive: none may take more than seconds, half a gigabyte in all or 4 kB of error.
func TestYAMLOfStrangers(t *testing.T) {
	repeat := func(before, part string, n int) string { return before + strings.Repeat(part, n) }
	numbered := func(format string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	laughs := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	for name, c := range map[string]struct{ text, want string }{
		"laughs":             {laughs, "not YAML: .*more than 50000 values with aliases"},
		"laughs in mappings": {"a: &a {x: 1, y: 2}\n" + numbered("b%d: {<<: *a, z: [*a, *a]}\n", 3), ""},
		"alias in itself":    {"a: &a [1, *a]\n", "alias a is inside the value it refers to"},
		"merge of itself":    {"a: &a\n  <<: *a\n  b: 1\n", "alias a is inside"},
		"[[[[":               {repeat("name: ", "[", 200_000), "more than 20000 keys"},
		"[[[[ short":         {repeat("name: ", "[", 300), `\[1:70\] lists and mappings are nested in more than 64 levels`},
		"[ on lines":         {repeat("name: ", "[\n ", 300), "nested"},
		"{a: {a:":            {repeat("name: ", "{a: ", 20_000), "more than 20000 keys"},
		"{a: {a: short":      {repeat("name: ", "{a: ", 200), "nested"},
		"- - -":              {repeat("", "- ", 100_000), "more than 20000"},
		"- - - short":        {repeat("", "- ", 200), "nested"},
		"indented":           {stairs(200), "nested"},
		"indented lists":     {stairsOf(200, "- "), "nested"},
		"? ? ?":              {repeat("", "? ", 200), "nested"},
		"a: a: a:":           {repeat("", "a: ", 6000), "not YAML"},
		"&a &a":              {repeat("a: ", "&a ", 6000), "nested"},
		"!!str !!str":        {repeat("a: ", "!!str ", 6000), "nested"},
		"]]]]":               {repeat("a: ", "]", 15_000), "could not find"},
		",,,,":               {repeat("a: [", ",", 15_000), "not YAML"},
		"::::":               {repeat("a: ", ":", 15_000), "not YAML"},
		"%%%%":               {repeat("", "%A\n", 10_000), "not YAML"},
		"documents":          {repeat("", "---\na: 1\n", 4_000), "more than one document"},
		"keys":               {numbered("k%06d: 1\n", 20_000), "more than"},
		"keys, fewer":        {numbered("k%06d: 1\n", 5_000), ""},
		"key again":          {numbered("k%06d: 1\n", 4_000) + "k000001: 2\n", `\[4001:1\] mapping key "k000001" already defined`},
		"anchors":            {numbered("k%05d: &a%[1]d 1\n", 4_000), "more than 100 anchors"},
		"empty items":        {"a:\n" + repeat("", "-\n", 19_000), ""},
		"items":              {repeat("a: [1", ", 1", 19_000) + "]", ""},
		"comments":           {repeat("", "# c\n", 19_000) + "a: 1\n", ""},
		"long line":          {"a: " + strings.Repeat("x ", 125_000), ""},
		"long line twice":    {"a: " + strings.Repeat("x ", 120_000) + "\na: 1", "already defined"},
		"long key twice":     {strings.Repeat("x", 100_000) + ": 1\n" + strings.Repeat("x", 100_000) + ": 1\n", "mapping key"},
		"lines":              {"a: |\n" + repeat("", "  x\n", 60_000), ""},
		"larger":             {"a: " + strings.Repeat("x", 1<<20), "it has 1.0 MB; a recipe has at most 262.1 kB"},
		"nothing but blanks": {strings.Repeat(" \n", 120_000), ""},
	} {
		var err error
		seconds, megabytes := measured(func() { _, err = strict.YAML([]byte(c.text)) })
		if seconds > 10 || megabytes > 512 {
			t.Errorf("%s: %.2f s, %d MB", name, seconds, megabytes)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !regexp.MustCompile("(?s)"+c.want).MatchString(err.Error())) {
			t.Errorf("%s: got %.300v, want %q", name, err, c.want)
		}
		if err != nil && len(err.Error()) > 4096 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func stairs(n int) string { return stairsOf(n, "") }

func stairsOf(n int, mark string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i*(1+len(mark))) + mark + "k:\n")
	}
	return b.String()
}

// Every recipe of this repository is read.
func TestYAMLOfThisRepository(t *testing.T) {
	n := 0
	for _, pattern := range []string{"../../papers/*/recipe.yaml", "../../lab/*.yaml", "../../cmd/ballast/*.yaml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := strict.YAML(text); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			n++
		}
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)```yaml (?:recipe|merge)[^\n]*\n(.*?)```").FindAllSubmatch(text, -1) {
			if _, err := strict.YAML(block[1]); err != nil {
				t.Errorf("%s: %v", page, err)
			}
			n++
		}
	}
	if n < 10 {
		t.Errorf("only %d recipes found", n)
	}
}

// A long merge with a value for every part of every layer, and a chat template full of brackets.
func TestYAMLLarge(t *testing.T) {
	var b strings.Builder
	b.WriteString("merge_method: slerp\nchat_template: |\n  " + strings.Repeat("{%- if a[0] == \"[[[[{{{{\" -%}", 500) + "\nslices:\n")
	for i := range 100 {
		fmt.Fprintf(&b, "- sources:\n  - {model: a/b, layer_range: [%d, %d]}\n  - {model: c/d, layer_range: [%d, %d]}\n  parameters:\n    t:\n", i, i+1, i, i+1)
		for _, part := range []string{"self_attn", "mlp", "norm"} {
			fmt.Fprintf(&b, "    - filter: %s\n      value: [0, 0.5, 0.3, 0.7, 1]\n", part)
		}
	}
	m, err := strict.YAML([]byte(b.String()))
	if err != nil || len(m["slices"].([]any)) != 100 {
		t.Errorf("got %v", err)
	}
}

type wide struct {
	Metrics map[string]float64 `json:"metrics"`
	List    []inner            `json:"list"`
	Numbers []int              `json:"numbers"`
	Free    any                `json:"free"`
	Raw     json.RawMessage    `json:"raw"`
	Steps   int                `json:"steps"`
	Deep    *wide              `json:"deep"`
}

func TestJSONOfStrangers(t *testing.T) {
	keys := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `"k%06d": %s`, i, value)
		}
		return "{" + b.String() + "}"
	}
	list := func(n int, item string) string { return "[" + item + strings.Repeat(","+item, n-1) + "]" }
	deep := func(n int) string { return strings.Repeat(`{"deep":`, n) + "null" + strings.Repeat("}", n) }
	pad := strings.Repeat(" ", 1<<20)
	for name, c := range map[string]struct{ text, want string }{
		"metrics":            {`{"metrics": ` + keys(200_000, "1.0") + `}`, ""},
		"metrics, too many":  {`{"metrics": ` + keys(300_000, "1.0") + `}`, "metrics: it has more than 262144 keys"},
		"metrics, wrong":     {`{"metrics": ` + keys(200_000, `"x"`) + `}`, "and 199992 more faults"},
		"metrics, twice":     {`{"metrics": {"a": 1, "b": 2, "a": 3}}`, "metrics.a: given twice"},
		"unknown":            {keys(200_000, "1"), "and 199992 more faults"},
		"unknown, long":      {`{"` + strings.Repeat("x", 1<<20) + `": 1}`, "unknown key xxxx"},
		"unknown, escape":    {`{"\u001b]0;PWNED\u0007": 1}`, `unknown key \\u001b]0;PWNED\\u0007`},
		"wrong, long":        {`{"steps": "` + strings.Repeat("x", 1<<20) + `"}`, "want a whole number, got \"xxx"},
		"wrong, escape":      {"{\"steps\": \"\u009b31m\"}", `got "\\u009b31m"`},
		"list":               {`{"list": ` + list(200_000, "{}") + `}`, ""},
		"list, too long":     {`{"list": ` + list(300_000, "{}") + `}`, "list: it has 300000 items; at most 262144"},
		"list, wrong":        {`{"list": ` + list(200_000, "1") + `}`, "and 199992 more faults"},
		"numbers":            {`{"numbers": ` + list(1<<20, "1") + `}`, ""},
		"free":               {`{"free": ` + list(600_000, "[]") + `}`, "free: it has 1800001 bytes; at most 1048576"},
		"raw":                {`{"raw": ` + list(600_000, "[]") + `}`, ""},
		"deep":               {deep(10_000), "nested in more than 100 levels"},
		"deep, allowed":      {deep(90), ""},
		"deep list":          {`{"free": ` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`, "nested in more than 100 levels"},
		"deep, much in it":   {strings.Repeat(`{"deep":`, 90) + `{"raw":"` + pad + `"}` + strings.Repeat("}", 90), ""},
		"deep, not JSON":     {strings.Repeat("[", 1_000_000), "nested"},
		"brackets in a text": {`{"raw": "` + strings.Repeat("[", 1000) + `\\\"{"}`, ""},
		"blanks":             {"  \n{ \"steps\" :\t1 , \"list\" : [ { } , {} ] , \"numbers\":[ ] }  ", ""},
		"not JSON":           {`{"steps": ` + strings.Repeat("x", 1<<20) + `}`, "not JSON: invalid character 'x'"},
		"empty":              {"", "not JSON"},
	} {
		var err error
		var into wide
		seconds, megabytes := measured(func() { err = strict.Decode([]byte(c.text), &into) })
		if seconds > 10 || megabytes > 256 {
			t.Errorf("%s: %.2f s, %d MB", name, seconds, megabytes)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !regexp.MustCompile("(?s)"+c.want).MatchString(err.Error())) {
			t.Errorf("%s: got %.300v, want %q", name, err, c.want)
		}
		if err != nil && len(err.Error()) > 4096 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// The walk over JSON agrees with encoding/json on whatever that takes.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{`{"a": [1, {"b": "\"}"}], "c": null}`, ` [ ] `, `"\\"`, `{"a":{},"b":[[],{}]}`, "-1.5e3", `{"\u00e9":"é"}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want, got map[string]json.RawMessage
		wantErr := json.Unmarshal([]byte(text), &want)
		if err := strict.Decode([]byte(text), &got); err != nil || wantErr != nil || text == "" {
			return // null, keys given twice and depth differ on purpose
		}
		for key, value := range want {
			if strings.TrimSpace(string(value)) != strings.TrimSpace(string(got[key])) {
				t.Errorf("%q: %s is %q, want %q", text, key, got[key], value)
			}
		}
	})
}
