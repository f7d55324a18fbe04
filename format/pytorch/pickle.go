package pytorch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/ballast-ml/ballast/internal/printable"
)

// machine reads one pickle. It has a stack and a memory, builds the values of value.go, and calls nothing.
type machine struct {
	in      *source
	at      int64 // of the opcode, from the begin of the part
	stack   []any
	marks   []int         // heights of the stack at the open marks
	memo    []any         // by number, as far as they come one behind the other
	far     map[int64]any // those beyond, which no pickler makes
	budget  *int64        // bytes that may still be allocated
	storage func(id tuple) (*storage, error)
}

// errBudget is what charge returns when a file asks for too much.
var errBudget = errors.New("it asks for more memory than a file of this size may")

// charge counts bytes that are about to be allocated.
func (m *machine) charge(n int64) error {
	if *m.budget -= n; *m.budget < 0 {
		return errBudget
	}
	return nil
}

func (m *machine) push(v any) error {
	return grow(m, &m.stack, v)
}

// grow appends, doubling the room where it is full, so that what is charged is what is allocated.
func grow[T any](m *machine, s *[]T, v ...T) error {
	if n := len(*s) + len(v); n > cap(*s) {
		room := max(2*cap(*s), n, 4)
		if err := m.charge(int64(room) * int64(unsafe.Sizeof(v[0]))); err != nil {
			return err
		}
		*s = append(make([]T, 0, room), *s...)
	}
	*s = append(*s, v...)
	return nil
}

// floor is the height that pops may not go below: that of the last mark.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

var errStack = errors.New("it takes from an empty stack")

func (m *machine) pop() (any, error) {
	if len(m.stack) <= m.floor() {
		return nil, errStack
	}
	v := m.stack[len(m.stack)-1]
	m.stack[len(m.stack)-1] = nil
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

func (m *machine) top() (any, error) {
	if len(m.stack) <= m.floor() {
		return nil, errStack
	}
	return m.stack[len(m.stack)-1], nil
}

// popMark takes everything above the last mark. The slice is a copy.
func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, errors.New("it closes a mark that was not set")
	}
	from := m.floor()
	m.marks = m.marks[:len(m.marks)-1]
	if err := m.charge(16*int64(len(m.stack)-from) + 40); err != nil {
		return nil, err
	}
	out := append([]any(nil), m.stack[from:]...)
	clear(m.stack[from:])
	m.stack = m.stack[:from]
	return out, nil
}

// release counts what popMark gave as free again: its items have been taken into a container.
func (m *machine) release(items []any) { *m.budget += 16 * int64(len(items)) }

func (m *machine) put(key int64) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	switch n := int64(len(m.memo)); {
	case key < n:
		m.memo[key] = v
		return nil
	case key == n:
		return grow(m, &m.memo, v)
	}
	if _, ok := m.far[key]; !ok {
		if err := m.charge(120); err != nil {
			return err
		}
	}
	if m.far == nil {
		m.far = map[int64]any{}
	}
	m.far[key] = v
	return nil
}

func (m *machine) get(key int64) error {
	if key < int64(len(m.memo)) {
		return m.push(m.memo[key])
	}
	v, ok := m.far[key]
	if !ok {
		return fmt.Errorf("it asks for memory %d, which was not set", key)
	}
	return m.push(v)
}

// run reads to the end mark and returns the object that is left.
func (m *machine) run() (any, error) {
	for {
		m.at = m.in.offset()
		op, err := m.in.byte()
		if err != nil {
			return nil, err
		}
		if op == '.' {
			v, err := m.pop()
			if err == nil && (len(m.stack) > 0 || len(m.marks) > 0) {
				err = errors.New("it leaves more than one object")
			}
			return v, err
		}
		if err := m.step(op); err != nil {
			return nil, err
		}
	}
}

// step does what one opcode says.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		v, err := m.in.byte()
		if err == nil && v > 5 {
			err = fmt.Errorf("protocol %d, at most 5 is known", v)
		}
		return err
	case 0x95: // FRAME: only a hint for buffering
		_, err := m.in.uint(8)
		return err
	case '(':
		return grow(m, &m.marks, len(m.stack))
	case '0': // POP, of a mark too
		if len(m.marks) > 0 && len(m.stack) == m.floor() {
			m.marks = m.marks[:len(m.marks)-1]
			return nil
		}
		_, err := m.pop()
		return err
	case '1':
		_, err := m.popMark()
		return err
	case '2':
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.push(v)
	case 'N':
		return m.push(nil)
	case 0x88:
		return m.push(true)
	case 0x89:
		return m.push(false)
	case 'I', 'L', 'K', 'M', 'J', 0x8a, 0x8b, 'F', 'G':
		return m.number(op)
	case 'S', 'T', 'U', 'V', 'X', 0x8c, 0x8d, 'B', 'C', 0x8e, 0x96:
		return m.text(op)
	case 'p', 'q', 'r', 'g', 'h', 'j', 0x94:
		return m.memory(op)
	case ']', 'l', 'a', 'e', ')', 't', 0x85, 0x86, 0x87, '}', 'd', 's', 'u', 0x8f, 0x90, 0x91:
		return m.container(op)
	case 'c', 0x93, 'R', 'b', 0x81, 0x92, 'i', 'o', 'P', 'Q', 0x82, 0x83, 0x84:
		return m.object(op)
	}
	return fmt.Errorf("opcode 0x%02x is not known", op)
}

func (m *machine) number(op byte) error {
	if err := m.charge(16); err != nil {
		return err
	}
	switch op {
	case 'I', 'L':
		word, err := m.in.line()
		if err != nil {
			return err
		}
		if op == 'I' && (word == "00" || word == "01") {
			return m.push(word == "01")
		}
		v, err := strconv.ParseInt(strings.TrimSuffix(word, "L"), 10, 64)
		if err != nil {
			return fmt.Errorf("number %s: want a whole one below 2^63", printable.Quote(word))
		}
		return m.push(v)
	case 'F':
		word, err := m.in.line()
		if err != nil {
			return err
		}
		v, err := strconv.ParseFloat(word, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("number %s: want a decimal one", printable.Quote(word))
		}
		return m.push(v)
	case 'G': // the one number that is big endian
		v, err := m.in.bytes(8)
		if err != nil {
			return err
		}
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(v)))
	case 'K', 'M', 'J':
		v, err := m.in.uint(map[byte]int{'K': 1, 'M': 2, 'J': 4}[op])
		if op == 'J' {
			v = uint64(int64(int32(v)))
		}
		if err != nil {
			return err
		}
		return m.push(int64(v))
	}
	size := 1
	if op == 0x8b {
		size = 4
	}
	n, err := m.in.uint(size)
	if err != nil {
		return err
	}
	return m.long(int64(n))
}

// long reads a whole number of n bytes in two's complement.
func (m *machine) long(n int64) error {
	const most = 64
	if n > most {
		return fmt.Errorf("a number of %d bytes, at most %d", n, most)
	}
	b, err := m.in.bytes(n)
	if err != nil {
		return err
	}
	if n > 8 {
		return m.push(huge(b))
	}
	var wide [8]byte
	if n > 0 && b[n-1]&0x80 != 0 {
		wide = [8]byte{255, 255, 255, 255, 255, 255, 255, 255}
	}
	copy(wide[:], b)
	return m.push(int64(binary.LittleEndian.Uint64(wide[:])))
}

func (m *machine) text(op byte) error {
	if op == 'S' || op == 'V' {
		return m.lineText(op)
	}
	size := 1
	switch op {
	case 'T', 'X', 'B':
		size = 4
	case 0x8d, 0x8e, 0x96:
		size = 8
	}
	n, err := m.in.uint(size)
	if err != nil {
		return err
	}
	if n > math.MaxInt64 || int64(n) > m.in.left() {
		return fmt.Errorf("%w: text of %d bytes where %d are left", errEnd, n, m.in.left())
	}
	if err := m.charge(2*int64(n) + 48); err != nil {
		return err
	}
	b, err := m.in.bytes(int64(n))
	if err != nil {
		return err
	}
	switch op {
	case 'B', 'C', 0x8e, 0x96:
		return m.push(bytea(b))
	case 'X', 0x8c, 0x8d:
		if !utf8.Valid(b) { // Python lets lone surrogates through, names never need them
			return errors.New("text is not UTF-8")
		}
	}
	return m.push(string(b))
}

// lineText reads the text opcodes of protocol 0.
func (m *machine) lineText(op byte) error {
	word, err := m.in.line()
	if err != nil {
		return err
	}
	if err := m.charge(2*int64(len(word)) + 48); err != nil {
		return err
	}
	if op == 'V' {
		if strings.Contains(word, `\`) {
			if word, err = strconv.Unquote(`"` + strings.ReplaceAll(word, `"`, `\"`) + `"`); err != nil {
				return errors.New("text with a bad escape")
			}
		}
		return m.push(word)
	}
	if len(word) < 2 || word[0] != word[len(word)-1] || (word[0] != '\'' && word[0] != '"') {
		return fmt.Errorf("text %s is not quoted", printable.Quote(word))
	}
	word = word[1 : len(word)-1]
	if strings.Contains(word, `\`) {
		if word, err = strconv.Unquote(`"` + strings.NewReplacer(`\'`, `'`, `"`, `\"`).Replace(word) + `"`); err != nil {
			return errors.New("text with a bad escape")
		}
	}
	return m.push(word)
}

func (m *machine) memory(op byte) error {
	switch op {
	case 0x94: // MEMOIZE
		return m.put(int64(len(m.memo) + len(m.far)))
	case 'p', 'g':
		word, err := m.in.line()
		if err != nil {
			return err
		}
		key, err := strconv.ParseInt(word, 10, 64)
		if err != nil || key < 0 {
			return fmt.Errorf("memory %s is not a number", printable.Quote(word))
		}
		if op == 'p' {
			return m.put(key)
		}
		return m.get(key)
	}
	size := 1
	if op == 'r' || op == 'j' {
		size = 4
	}
	key, err := m.in.uint(size)
	if err != nil {
		return err
	}
	if op == 'q' || op == 'r' {
		return m.put(int64(key))
	}
	return m.get(int64(key))
}

func (m *machine) container(op byte) error {
	switch op {
	case ']', 0x8f: // a set is a list here: no one looks things up in it
		if err := m.charge(48); err != nil {
			return err
		}
		return m.push(&list{})
	case '}':
		if err := m.charge(96); err != nil {
			return err
		}
		return m.push(&dict{})
	case ')':
		return m.push(tuple(nil))
	case 't', 'l', 0x91, 'd':
		items, err := m.popMark()
		if err != nil {
			return err
		}
		switch op {
		case 't':
			return m.push(tuple(items))
		case 'd':
			d := &dict{}
			if err := m.fill(d, items); err != nil {
				return err
			}
			m.release(items)
			return m.push(d)
		}
		return m.push(&list{items: items})
	case 0x85, 0x86, 0x87:
		n := int(op - 0x84)
		if len(m.stack)-n < m.floor() {
			return errStack
		}
		if err := m.charge(40 + 16*int64(n)); err != nil {
			return err
		}
		t := tuple(append([]any(nil), m.stack[len(m.stack)-n:]...))
		m.stack = m.stack[:len(m.stack)-n]
		return m.push(t)
	}
	return m.add(op)
}

// add puts items into the list or dictionary below them.
func (m *machine) add(op byte) error {
	var items []any
	var err error
	switch op {
	case 'e', 'u', 0x90:
		items, err = m.popMark()
	case 'a':
		items = make([]any, 1)
		items[0], err = m.pop()
	case 's':
		items = make([]any, 2)
		if items[1], err = m.pop(); err == nil {
			items[0], err = m.pop()
		}
	}
	if err != nil {
		return err
	}
	into, err := m.top()
	if err != nil {
		return err
	}
	if op == 'e' || op == 'u' || op == 0x90 {
		defer m.release(items)
	}
	switch into := into.(type) {
	case *list:
		if op == 's' || op == 'u' {
			return errors.New("it sets keys of a list")
		}
		return grow(m, &into.items, items...)
	case *dict:
		if op == 's' || op == 'u' {
			return m.fill(into, items)
		}
	case *object:
		return grow(m, &into.parts, items...)
	}
	return fmt.Errorf("it adds items to %s", describe(into))
}

// fill sets keys and values that follow each other.
func (m *machine) fill(d *dict, items []any) error {
	if len(items)%2 != 0 {
		return errors.New("a key without a value")
	}
	if err := m.charge(300 * int64(len(items)/2)); err != nil {
		return err
	}
	for i := 0; i < len(items); i += 2 {
		d.set(items[i], items[i+1])
	}
	return nil
}

// describe names a value for a message.
func describe(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool, int64, float64:
		return fmt.Sprint(v)
	case string:
		return printable.Quote(v)
	case tuple:
		return fmt.Sprintf("a tuple of %d", len(v))
	case *list:
		return fmt.Sprintf("a list of %d", len(v.items))
	case *dict:
		return fmt.Sprintf("a dictionary of %d", len(v.keys))
	case global:
		return string(v)
	case foreign:
		return printable.Short(string(v))
	case *object:
		return v.what()
	case *ndarray:
		return "a NumPy array"
	case storageClass:
		return "a class of storages of " + string(v)
	case DType:
		return "torch." + string(v)
	case *tensor:
		return fmt.Sprintf("a tensor %v", v.shape)
	case *storage:
		return "storage " + printable.Quote(v.key)
	case bytea:
		return fmt.Sprintf("%d bytes", len(v))
	}
	return fmt.Sprintf("a %T", v)
}
