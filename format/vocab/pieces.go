package vocab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"unicode/utf8"

	"github.com/ballast-ml/ballast/format/hf"
)

// maxTokens bounds the tokens of a tokenizer; the largest known have 262,144.
const maxTokens = 1 << 21

// Ways in which SentencePiece cuts texts.
const (
	unigram   = 1
	bytePairs = 2
)

// pieces is what is read of a tokenizer.model.
type pieces struct {
	tokens []string
	scores []float32
	types  []int32
	kind   int
	prefix bool // add_dummy_prefix
}

// errNotPieces is what a file is that is none of SentencePiece's, such as the lists of some llamas that have its name.
var errNotPieces = errors.New("it is not a SentencePiece model")

// readPieces reads tokenizer.model; v is nil where there is none, or none that GGUF keeps.
func readPieces(dir string, s *settings) (v *Vocabulary, remark string, err error) {
	data, err := hf.ReadCompanion(dir, pieceFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	p, err := parsePieces(data)
	switch {
	case errors.Is(err, errNotPieces):
		return nil, "", nil // tokenizer.json beside it tells
	case err != nil:
		return nil, "", fmt.Errorf("%s: %w", pieceFile, err)
	case p.kind == unigram:
		return nil, "", errors.New("tokenizer.model cuts texts by the likeliest tokens (Unigram), which programs that run GGUF decoders do not")
	case p.kind != bytePairs:
		return nil, "", fmt.Errorf("tokenizer.model cuts texts by words or letters (type %d)", p.kind)
	}
	v = &Vocabulary{Model: "llama", Pre: "default", Tokens: p.tokens, Scores: p.scores, Types: p.types, Prefix: &p.prefix}
	if s.Prefix != nil {
		v.Prefix = s.Prefix
	}
	if s.Legacy != nil && !*s.Legacy && *v.Prefix {
		remark = afterSpecial
	}
	return v, remark, v.addAll(dir, s)
}

// parsePieces reads sentencepiece.ModelProto: pieces in field 1, the trainer's settings in 2, the normaliser's in 3.
func parsePieces(data []byte) (*pieces, error) {
	p := &pieces{kind: unigram, prefix: true}
	err := eachField(data, func(field int, _ uint64, text []byte) error {
		switch {
		case field == 1 && text != nil:
			if len(p.tokens) == maxTokens {
				return fmt.Errorf("more than %d tokens", maxTokens)
			}
			return p.piece(text)
		case field == 2 && text != nil:
			return eachField(text, func(field int, value uint64, _ []byte) error {
				if field == 3 {
					p.kind = int(min(value, math.MaxInt32))
				}
				return nil
			})
		case field == 3 && text != nil:
			return eachField(text, func(field int, value uint64, text []byte) error {
				if field == 3 && text == nil {
					p.prefix = value != 0
				}
				return nil
			})
		}
		return nil
	})
	if err == nil && len(p.tokens) == 0 {
		err = errNotPieces
	}
	return p, err
}

// piece reads one token: its text, its score, and its kind, which is normal where the file does not say.
func (p *pieces) piece(data []byte) error {
	text, score, kind := "", float32(0), Normal
	err := eachField(data, func(field int, value uint64, raw []byte) error {
		switch {
		case field == 1 && raw != nil:
			text = string(raw)
		case field == 2 && raw == nil:
			score = math.Float32frombits(uint32(value))
		case field == 3 && raw == nil:
			kind = int32(min(value, 7))
		}
		return nil
	})
	if err != nil || text == "" || !utf8.ValidString(text) || kind < Normal || kind > Byte {
		return errNotPieces
	}
	p.tokens, p.scores, p.types = append(p.tokens, text), append(p.scores, score), append(p.types, kind)
	return nil
}

// eachField goes through the fields of a protobuf message. text is nil for numbers.
func eachField(data []byte, f func(field int, value uint64, text []byte) error) error {
	for len(data) > 0 {
		tag, n := binary.Uvarint(data)
		if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29 {
			return errNotPieces
		}
		data = data[n:]
		var value uint64
		var text []byte
		switch tag & 7 {
		case 0:
			if value, n = binary.Uvarint(data); n <= 0 {
				return errNotPieces
			}
		case 1, 5:
			n = 8
			if tag&7 == 5 {
				n = 4
			}
			if len(data) < n {
				return errNotPieces
			}
			for i := n - 1; i >= 0; i-- {
				value = value<<8 | uint64(data[i])
			}
		case 2:
			size, m := binary.Uvarint(data)
			if m <= 0 || size > uint64(len(data)-m) {
				return errNotPieces
			}
			n = m + int(size)
			text = data[m:n:n]
		default:
			return errNotPieces
		}
		data = data[n:]
		if err := f(int(tag>>3), value, text); err != nil {
			return err
		}
	}
	return nil
}
