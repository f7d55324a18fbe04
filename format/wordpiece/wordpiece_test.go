package wordpiece_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ballast-ml/ballast/format/wordpiece"
)

// TestEncode holds texts of many scripts against what the tokenizers library makes of them, with three sets of options.
func TestEncode(t *testing.T) {
	for _, name := range []string{"uncased", "cased", "raw"} {
		tokenizer, err := wordpiece.Open(filepath.Join("testdata", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var want struct {
			Cases []struct {
				Text string
				Most int
				IDs  []int
			}
		}
		data, err := os.ReadFile(filepath.Join("testdata", name+".cases.json"))
		if err == nil {
			err = json.Unmarshal(data, &want)
		}
		if err != nil || len(want.Cases) < 17 {
			t.Fatalf("%d cases, %v", len(want.Cases), err)
		}
		for _, c := range want.Cases {
			if got := tokenizer.Encode(c.Text, c.Most); !slices.Equal(got, c.IDs) {
				t.Errorf("%s: %q: got %v, want %v", name, c.Text, got, c.IDs)
			}
		}
		if tokenizer.Pad() != 0 || tokenizer.Len() < 60 {
			t.Errorf("pad %d, %d words", tokenizer.Pad(), tokenizer.Len())
		}
	}
}

// Accents, words of other scripts, marks of zero width and the like, as the tokenizers package encodes them: with and without lower case, and
// with accents kept.
func TestOtherScripts(t *testing.T) {
	data, err := os.ReadFile("testdata/passing/want.json")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][][2]json.RawMessage{}
	if err := json.Unmarshal(data, &want); err != nil || len(want) != 3 {
		t.Fatalf("%d tokenizers, %v", len(want), err)
	}
	for name, cases := range want {
		tokenizer, err := wordpiece.Open(filepath.Join("testdata/passing", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			var text string
			var ids []int
			if err := errors.Join(json.Unmarshal(c[0], &text), json.Unmarshal(c[1], &ids)); err != nil {
				t.Fatal(err)
			}
			if got := tokenizer.Encode(text, 512); !slices.Equal(got, ids) {
				t.Errorf("%s: %q: got %v, want %v", name, text, got, ids)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "uncased.json"))
	if err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string][2]string{
		`model.type: "BPE", only "WordPiece" is read; name the tokenizer.json of a BERT-like model`: {`"WordPiece"`, `"BPE"`},
		`normalizer.type: "NFC", only "BertNormalizer"`:                                             {`"BertNormalizer"`, `"NFC"`},
		`pre_tokenizer.type: "ByteLevel"`:                                                           {`"BertPreTokenizer"`, `"ByteLevel"`},
		`post_processor.type: "RobertaProcessing"`:                                                  {`"TemplateProcessing"`, `"RobertaProcessing"`},
		`model.unk_token: "[WHAT]" is not in the vocabulary`:                                        {`"unk_token": "[UNK]"`, `"unk_token": "[WHAT]"`},
		`model.vocab: "cats" has number -1; the file is damaged`:                                    {`"cats": 22`, `"cats": -1`},
		`added_tokens.0: "[PAD]" is to be found in a way that is not known here`:                    {`"lstrip": false`, `"lstrip": true`},
		`post_processor.special_tokens: number 99999`:                                               {"\"ids\": [\n2\n]", "\"ids\": [\n99999\n]"},
		`post_processor.single.0: "[CLS]" is not among special_tokens`:                              {"\"special_tokens\": {\n\"[CLS]\"", "\"special_tokens\": {\n\"[DLS]\""},
		`unexpected end of JSON input; the file is damaged: get it again`:                           {string(data[len(data)/2:]), ""},
	} {
		text := strings.Replace(string(data), change[0], change[1], 1)
		if text == string(data) {
			t.Errorf("nothing changed for %q", want)
		}
		_, err := wordpiece.Parse([]byte(text))
		var bad *wordpiece.Error
		if !errors.As(err, &bad) || !bad.BadInput() || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	path := filepath.Join(t.TempDir(), "t.json")
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := wordpiece.Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want the file's name in it", err)
	}
}

// FuzzParse reads files and encodes with what is read: every number is one of the file's, and the limit holds.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"uncased", "cased", "raw"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "The cats [SEP] sitting \xff outside 中国")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tokenizer, err := wordpiece.Parse(data)
		if err != nil {
			var bad *wordpiece.Error
			if !errors.As(err, &bad) {
				t.Fatalf("an error of another type: %v", err)
			}
			return
		}
		ids := tokenizer.Encode(text, 0)
		for _, id := range ids {
			if id < 0 {
				t.Fatalf("number %d", id)
			}
		}
		const most = 200
		if long := tokenizer.Encode(strings.Repeat(text, 3), most); len(ids) <= most && len(long) > most && len(tokenizer.Encode("", 0)) <= most {
			t.Fatalf("%d numbers, at most %d were asked for", len(long), most)
		}
	})
}

func ExampleTokenizer_Encode() {
	tokenizer, err := wordpiece.Open("testdata/uncased.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(tokenizer.Encode("The cats!", 0))
	// Output: [2 20 22 5 3]
}

// A text is cut at special tokens as when each is looked for anew behind every one that is found.
func TestSpecialTokens(t *testing.T) {
	tokenizer, err := wordpiece.Open("testdata/uncased.json")
	if err != nil {
		t.Fatal(err)
	}
	special := map[string]int{"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
	body := func(text string) []int {
		ids := tokenizer.Encode(text, 0)
		return ids[1 : len(ids)-1]
	}
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{"[SEP]", "[PAD]", "[MASK]", "[", "SEP]", "cat", " ", "]"})).Draw(t, "pieces")
		text := strings.Join(pieces, "")
		var want []int
		for rest := text; rest != ""; {
			at, token := len(rest), ""
			for name := range special {
				if i := strings.Index(rest, name); i >= 0 && i < at {
					at, token = i, name
				}
			}
			want = append(want, body(rest[:at])...)
			if token != "" {
				want = append(want, special[token])
			}
			rest = rest[at+len(token):]
		}
		if got := body(text); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, want %v", text, got, want)
		}
	})
}

// What would take many times its bytes, or time that grows faster than the text, is refused.
func TestRefusesBombs(t *testing.T) {
	data, err := os.ReadFile("testdata/uncased.json")
	if err != nil {
		t.Fatal(err)
	}
	many := func(n int, item string) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }
	for want, change := range map[string][2]string{
		"holds more than 250000 values":           {`"added_tokens": [`, `"added_tokens": [` + many(300_000, "{}") + ","},
		"at most 10000 are read":                  {`"added_tokens": [`, `"added_tokens": [` + many(11_000, "{}") + ","},
		"5000, at most 1000 are read":             {`"max_input_chars_per_word": 12`, `"max_input_chars_per_word": 5000`},
		"... (1000000 bytes), only \"WordPiece\"": {`"type": "WordPiece"`, `"type": "` + strings.Repeat("x", 1_000_000) + `"`},
	} {
		text := strings.Replace(string(data), change[0], change[1], 1)
		if text == string(data) {
			t.Errorf("nothing changed for %q", want)
		}
		var bad *wordpiece.Error
		if _, err := wordpiece.Parse([]byte(text)); !errors.As(err, &bad) || !strings.Contains(err.Error(), want) || len(err.Error()) > 500 {
			t.Errorf("got %.300v, want %q", err, want)
		}
	}
}
