package safetensors

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/internal/printable"
)

// maxDepth bounds the nesting of values that are skipped.
const maxDepth = 64

// errBig distinguishes a number too large for int64 from text that is not a number.
var errBig = errors.New("number is above 2^63-1")

// scanner reads JSON token by token. encoding/json does not fit: it keeps the last of two equal keys and takes memory as
// the text demands. The text must be valid UTF-8. Strings without escapes are parts of src, not copies.
type scanner struct {
	src string
	pos int
}

// space skips white space.
func (s *scanner) space() {
	for s.pos < len(s.src) {
		switch s.src[s.pos] {
		case ' ', '\n', '\r', '\t':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.pos >= len(s.src) {
		return 0
	}
	return s.src[s.pos]
}

// accept takes the byte c if it comes next.
func (s *scanner) accept(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// expect takes the byte c or says what stands in its place.
func (s *scanner) expect(c byte) error {
	if s.accept(c) {
		return nil
	}
	return s.want(strconv.QuoteRune(rune(c)))
}

// want is the error for something else at the present place.
func (s *scanner) want(what string) error {
	if s.space(); s.pos >= len(s.src) {
		return fmt.Errorf("want %s, got the end of the text", what)
	}
	r, _ := utf8.DecodeRuneInString(s.src[s.pos:])
	return fmt.Errorf("want %s, got %q", what, r)
}

// end checks that nothing but white space is left.
func (s *scanner) end() error {
	if s.space(); s.pos < len(s.src) {
		return s.want("the end")
	}
	return nil
}

// list reads what stands between open and shut, separated by commas.
func (s *scanner) list(open, shut byte, item func() error) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.accept(shut) {
		return nil
	}
	for {
		if err := item(); err != nil {
			return err
		}
		if s.accept(shut) {
			return nil
		}
		if err := s.expect(','); err != nil {
			return fmt.Errorf("%w or %q", err, shut)
		}
	}
}

// object reads an object; member is called before each value, with the key and the byte where the key begins.
func (s *scanner) object(member func(key string, at int) error) error {
	return s.list('{', '}', func() error {
		s.space()
		at := s.pos
		key, err := s.str()
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		return member(key, at)
	})
}

// str reads a string.
func (s *scanner) str() (string, error) {
	if s.peek() != '"' {
		return "", s.want("a string")
	}
	s.pos++
	start := s.pos
	for ; s.pos < len(s.src); s.pos++ {
		switch c := s.src[s.pos]; {
		case c == '"':
			s.pos++
			return s.src[start : s.pos-1], nil
		case c == '\\':
			return s.escaped(start)
		case c < ' ':
			return "", fmt.Errorf("control character %#02x inside a string", c)
		}
	}
	return "", errors.New("string does not end")
}

// escaped reads the rest of a string from its first escape on.
func (s *scanner) escaped(start int) (string, error) {
	var b strings.Builder
	b.WriteString(s.src[start:s.pos])
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		s.pos++
		switch {
		case c == '"':
			return b.String(), nil
		case c < ' ':
			return "", fmt.Errorf("control character %#02x inside a string", c)
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		r, err := s.escape()
		if err != nil {
			return "", err
		}
		b.WriteRune(r)
	}
	return "", errors.New("string does not end")
}

// escape reads what follows a backslash.
func (s *scanner) escape() (rune, error) {
	if s.pos >= len(s.src) {
		return 0, errors.New("string does not end")
	}
	c := s.src[s.pos]
	s.pos++
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), nil
	}
	if c != 'u' {
		return 0, fmt.Errorf("unknown escape %q", c)
	}
	high, err := s.hex()
	if err != nil || high < 0xd800 || high > 0xdfff {
		return high, err
	}
	if high > 0xdbff || !strings.HasPrefix(s.src[s.pos:], `\u`) {
		return 0, fmt.Errorf("lone surrogate %04x", high)
	}
	s.pos += 2
	low, err := s.hex()
	if err != nil {
		return 0, err
	}
	if low < 0xdc00 || low > 0xdfff {
		return 0, fmt.Errorf("lone surrogate %04x", high)
	}
	return (high-0xd800)<<10 + (low - 0xdc00) + 0x10000, nil
}

// hex reads four hexadecimal digits.
func (s *scanner) hex() (rune, error) {
	if len(s.src)-s.pos < 4 {
		return 0, errors.New("string does not end")
	}
	v, err := strconv.ParseUint(s.src[s.pos:s.pos+4], 16, 16)
	if err != nil {
		return 0, fmt.Errorf("want four hexadecimal digits, got %q", s.src[s.pos:s.pos+4])
	}
	s.pos += 4
	return rune(v), nil
}

// integer reads a whole number from 0 to 2^63-1, written as digits alone. Above that, and up to 2^64-1, the error is errBig.
func (s *scanner) integer() (int64, error) {
	text := s.number()
	if text == "" {
		return 0, s.want("a whole number")
	}
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' || (i == 1 && text[0] == '0') {
			return 0, fmt.Errorf("want a whole number of at least 0, got %s", cut(text))
		}
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("want a number below 2^63, got %s", cut(text))
	}
	if v > math.MaxInt64 {
		return 0, fmt.Errorf("%w: %d", errBig, v)
	}
	return int64(v), nil
}

// number takes everything that can belong to a number.
func (s *scanner) number() string {
	s.space()
	start := s.pos
	for s.pos < len(s.src) && strings.IndexByte("+-.0123456789eE", s.src[s.pos]) >= 0 {
		s.pos++
	}
	return s.src[start:s.pos]
}

// skip reads any value and forgets it.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested more than %d deep", maxDepth)
	}
	switch c := s.peek(); c {
	case '{':
		return s.object(func(string, int) error { return s.skip(depth + 1) })
	case '[':
		return s.list('[', ']', func() error { return s.skip(depth + 1) })
	case '"':
		_, err := s.str()
		return err
	case 't', 'f', 'n':
		for _, word := range []string{"true", "false", "null"} {
			if strings.HasPrefix(s.src[s.pos:], word) {
				s.pos += len(word)
				return nil
			}
		}
		return s.want("a value")
	default:
		text := s.number()
		if !isNumber(text) {
			return fmt.Errorf("want a value, got %s", cut(text))
		}
		return nil
	}
}

// isNumber checks the form -?(0|[1-9]d*)(.d+)?([eE][+-]?d+)? of JSON numbers.
func isNumber(t string) bool {
	digits := func() bool {
		n := 0
		for n < len(t) && t[n] >= '0' && t[n] <= '9' {
			n++
		}
		t = t[n:]
		return n > 0
	}
	t = strings.TrimPrefix(t, "-")
	if rest, zero := strings.CutPrefix(t, "0"); zero {
		t = rest
	} else if !digits() {
		return false
	}
	if rest, point := strings.CutPrefix(t, "."); point {
		if t = rest; !digits() {
			return false
		}
	}
	if t != "" && (t[0] == 'e' || t[0] == 'E') {
		t = t[1:]
		if t != "" && (t[0] == '+' || t[0] == '-') {
			t = t[1:]
		}
		if !digits() {
			return false
		}
	}
	return t == ""
}

// cut shortens text from a file for a message.
func cut(text string) string {
	if text == "" {
		return "something else"
	}
	if len(text) > 40 {
		text = strings.ToValidUTF8(text[:40], "") + "..."
	}
	return printable.Line(text)
}
