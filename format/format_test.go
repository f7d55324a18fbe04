package format_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/ballast-ml/ballast/format"
)

var (
	bytes   = format.Format{Name: "abc", Tensor: "tensor", Bytes: true}
	wrong   = bytes.Kind("not an .abc file")
	misused = bytes.Misuse("no such tensor")

	message = format.Format{Name: "msg", Tensor: "weight"}
	unread  = message.Kind("message cannot be read")
)

func TestErrorText(t *testing.T) {
	long := strings.Repeat("n", 120)
	cut := strings.Repeat("n", 100)
	for _, c := range []struct {
		err  format.Error
		want string
	}{
		{format.Error{Kind: wrong, Offset: -1}, "abc: not an .abc file"},
		{format.Error{Kind: wrong, Offset: 0}, "abc: byte 0: not an .abc file"},
		{
			format.Error{
				File: "f.abc", Part: "a/data", Tensor: "w", Key: "k", Field: "shape", Offset: 7, Kind: wrong, Text: "3 of 4", Fix: "get it again", Err: io.EOF,
			},
			`abc: f.abc: a/data: tensor "w": key "k": shape: byte 7: not an .abc file: 3 of 4: EOF; get it again`,
		},
		{format.Error{Kind: unread, Tensor: "w"}, `msg: weight "w": message cannot be read`},
		{format.Error{Kind: unread, Offset: 9}, "msg: message cannot be read"}, // a format that is not told by bytes
		{
			format.Error{Kind: unread, File: "\x1b[2J", Part: "p\n", Tensor: "t\x00", Field: "\u202e", Text: "a\tb", Err: errors.New("c\rd")},
			`msg: \u001b[2J: p\n: weight "t\x00": \u202e: message cannot be read: a\tb: c\u000dd`,
		},
		{
			format.Error{Kind: unread, Part: long, Tensor: long, Key: long},
			`msg: ` + cut + `...: weight "` + cut + `"... (120 bytes): key "` + cut + `"... (120 bytes): message cannot be read`,
		},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestErrorTree(t *testing.T) {
	err := fmt.Errorf("open: %w", &format.Error{Kind: wrong, Err: io.EOF})
	var e *format.Error
	if !errors.Is(err, wrong) || !errors.Is(err, io.EOF) || errors.Is(err, misused) || errors.Is(err, unread) || !errors.As(err, &e) || !e.BadInput() {
		t.Errorf("%v has the wrong kind, cause or fault", err)
	}
	if e.Kind.Format() != bytes {
		t.Errorf("it is of format %v", e.Kind.Format())
	}

	asked := &format.Error{Kind: misused}
	if asked.BadInput() || !errors.Is(asked, misused) || errors.Is(asked, bytes.Misuse("no such tensor")) {
		t.Errorf("%v is the caller's, and of its own kind alone", asked)
	}
}
