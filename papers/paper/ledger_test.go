package paper

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// measuredEntry is the paper of one claim, above, with values of a for the seeds from one on; those of b are 0.
func measuredEntry(slug string, from uint64, a ...float64) Entry {
	e := Entry{Slug: slug, Engine: "go", Machine: "here", Date: time.Date(2026, 1, int(from), 0, 0, 0, 0, time.UTC), Seconds: 9, Made: len(a)}
	for i := range a {
		e.Seeds = append(e.Seeds, from+uint64(i))
	}
	e.Claims = []ClaimResult{Judge(above(0), two(a, make([]float64, len(a))))}
	return e
}

func paperOf(slug string) Paper { return Paper{Slug: slug, Claims: []Claim{above(0)}} }

// TestRecordKeepsBothSets: other seeds stand beside the first, are judged with them, and the same seeds take the place of themselves.
func TestRecordKeepsBothSets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.json")
	list := []Paper{paperOf("one"), paperOf("two")}
	record := func(e Entry) Evidence {
		t.Helper()
		found, err := Record(path, list, e)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	record(measuredEntry("two", 1, 1, 2))
	record(measuredEntry("one", 11, -100, 1, 1, 2, 1))
	found := record(measuredEntry("one", 1, 1, 2, 3, 4, 5))
	if len(found.Sets) != 2 || found.Sets[0].Seeds[0] != 1 || len(found.Seeds) != 10 || found.Seconds != 18 {
		t.Fatalf("%+v", found)
	}
	if all := found.Claims[0]; found.Sets[0].Claims[0].Verdict != Held || found.Sets[1].Claims[0].Verdict != Open || all.Verdict != Open || all.Resamples != 10_000 {
		t.Errorf("%v, %v and together %+v", found.Sets[0].Claims[0].Certainty, found.Sets[1].Claims[0].Certainty, all.Certainty)
	}
	if values := found.Claims[0].Arms[0].Metrics["x"].Values; !slices.Equal(values, []float64{1, 2, 3, 4, 5, -100, 1, 1, 2, 1}) {
		t.Errorf("together they have %v", values)
	}

	// A ledger that is read again says the same, without being judged.
	book, err := ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	again, ok := book.Evidence("one")
	if !ok || asJSON(t, again) != asJSON(t, found) || len(book.Entries) != 3 || len(book.Together) != 2 {
		t.Errorf("read again: %s", asJSON(t, again))
	}

	// What was there keeps its date; new values have theirs; seeds that overlap take the place of the others.
	same := measuredEntry("one", 11, -100, 1, 1, 2, 1)
	same.Made, same.Date, same.Seconds = 0, time.Now(), 0
	if set := record(same).Sets[1]; set.Seconds != 9 || set.Date.Day() != 11 {
		t.Errorf("runs that were there are dated %v, %v s", set.Date, set.Seconds)
	}
	other := measuredEntry("one", 11, -100, 1, 1, 2, 2)
	other.Made, other.Seconds = 0, 0
	if set := record(other).Sets[1]; set.Seconds != 0 {
		t.Errorf("other values have the circumstances of the first: %+v", set)
	}
	if found = record(measuredEntry("one", 3, 1, 1, 1, 1, 1, 1, 1, 1, 2)); len(found.Sets) != 1 || len(found.Seeds) != 9 || found.Claims[0].Verdict != Held {
		t.Errorf("a set that overlaps both: %+v", found)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestFirstLedgers: a ledger of version 1 is read, judged from its values, and written as version 2 when something is recorded.
func TestFirstLedgers(t *testing.T) {
	const first = `{"schema_version": 1, "entries": [{"slug": "one", "date": "2026-01-02T00:00:00Z", "seeds": [1, 2, 3, 4, 5], "engine": "go",
		"machine": "m", "version": "v", "commit": "c", "seconds": 2, "claims": [
		{"name": "above", "statement": "s", "held": true, "inequalities": [{"text": "q", "left": 1, "right": 0, "holds": true}], "arms": [
			{"name": "a", "metrics": {"x": {"mean": -19, "sd": 1, "values": [-100, 1, 1, 2, 1]}}}, {"name": "b", "metrics": {"x": {"mean": 0, "sd": 0, "values": [0, 0, 0, 0, 0]}}}]},
		{"name": "gone", "statement": "s", "held": true, "inequalities": [], "arms": []}]}]}`
	path := filepath.Join(t.TempDir(), "ledger.json")
	if err := os.WriteFile(path, []byte(first), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := Record(path, []Paper{paperOf("one"), paperOf("two")}, measuredEntry("two", 1, 1, 2))
	if err != nil || len(found.Sets) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	book, err := ReadLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	one, ok := book.Evidence("one")
	if !ok || one.Claims[0].Verdict != Open || one.Claims[0].String() != "open, 32.7 %" || one.Seconds != 2 {
		t.Errorf("%+v", one)
	}
	if gone := one.Claims[1]; gone.Verdict != Held || gone.Share != nil || !strings.Contains(gone.Why, "means alone") {
		t.Errorf("a claim that is no more: %+v", gone.Certainty)
	}
	if _, err := ParseLedger("l.json", []byte(strings.Replace(first, `"held": true`, `"hold": true`, 1))); err == nil || !strings.Contains(err.Error(), "hold") {
		t.Errorf("an unknown key: %v", err)
	}
	if _, err := ParseLedger("l.json", []byte(`{"schema_version": 3}`)); err == nil || !strings.Contains(err.Error(), "want 2, got 3") {
		t.Errorf("a later version: %v", err)
	}
}

// TestMarkdownAndText: both sets and the verdict over both are shown, in narrow tables and 80 columns.
func TestMarkdownAndText(t *testing.T) {
	p := paperOf("one")
	p.Title, p.Summary = "T", strings.Repeat("word ", 40)
	book := Ledger{}
	book.Put(measuredEntry("one", 1, 1, 2, 3, 4, 5))
	book.Put(measuredEntry("one", 11, -100, 1, 1, 2, 1))
	book.Judge([]Paper{p})
	found, _ := book.Evidence("one")

	var page, text, list strings.Builder
	for _, err := range []error{Markdown(&page, []Paper{p, paperOf("two")}, book), p.Text(&text, &found), Catalogue(&list, []Paper{p}, book)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"| [one](#one): above | 1 to 5: held, 100 %; 11 to 15: open, 32.7 % | **open**,", "| [two](#two) | not measured | |",
		"| required | seeds 1 to 5 | seeds 11 to 15 | together |", "| a >= b + margin | 3 >= 0, 100 % | **-19 < 0**, 32.7 % | **-8 < 0**,",
		"| arm | x: mean (sd) | per seed |", "| 1 2 3 4 5 · -100 1 1 2 1 |", "- Seeds 11 to 15: measured 2026-01-11 in 9 s on go (here).",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page has no %q:\n%s", want, &page)
		}
	}
	for line := range strings.Lines(page.String()) {
		if strings.Count(line, "|") > 6 {
			t.Errorf("a wide table: %s", line)
		}
	}
	for _, want := range []string{"Claim above: open", "seeds 11 to 15   -19 < 0, 32.7 %, does not hold", "together "} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text has no %q:\n%s", want, &text)
		}
	}
	for line := range strings.Lines(text.String() + list.String()) {
		if len([]rune(strings.TrimSuffix(line, "\n"))) > 80 {
			t.Errorf("over 80 columns: %q", line)
		}
	}
}

func TestSeedsText(t *testing.T) {
	for want, seeds := range map[string][]uint64{"1 to 5": {1, 2, 3, 4, 5}, "7": {7}, "1, 2": {1, 2}, "1 to 3, 11 to 13, 20": {1, 2, 3, 11, 12, 13, 20}, "": nil} {
		if got := seedsText(seeds); got != want {
			t.Errorf("%v is %q, want %q", seeds, got, want)
		}
	}
}
