package hf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// companions are the files that belong to a model beside its weights, and may go wherever it goes.
var companions = []string{
	ConfigFile, "generation_config.json", CardFile,
	"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
	"spiece.model", "sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json",
	"preprocessor_config.json", "processor_config.json", "image_processor_config.json",
	"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json", "2_Dense/config.json",
}

// licences begin the names of licences and notices.
var licences = []string{"LICENSE", "LICENCE", "NOTICE", "USE_POLICY", "COPYING"}

// maxLicences is how many licences and notices of a folder go along; a model has a handful.
const maxLicences = 1000

// Companions lists the files of a folder that belong to a model beside its weights: config, tokenizer, card, licences. A link that
// leads out of the folder is an error, since copying it would give away what it leads to (links into the blobs of a Hugging Face
// cache are followed); so is a pipe, a device or a socket. Folders and links to nothing are passed over.
func Companions(dir string) ([]string, error) {
	names := slices.Clone(companions)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		if slices.ContainsFunc(licences, func(prefix string) bool { return strings.HasPrefix(upper, prefix) }) {
			names = append(names, e.Name())
		}
	}
	if most := len(companions) + maxLicences; len(names) > most {
		return nil, &Error{File: dir, Kind: ErrLimit, Text: fmt.Sprintf("more than %d licences", maxLicences), Fix: "keep only the licences of the model there"}
	}

	var out []string
	for _, name := range names {
		ok, err := isCompanion(dir, name)
		if err != nil {
			return nil, fmt.Errorf("hf: %w", err)
		}
		if ok {
			out = append(out, name)
		}
	}
	return out, nil
}

// CheckCompanions is Companions for those who will copy the files: one whose content did not arrive, a Git LFS pointer, is an error too.
func CheckCompanions(dir string) error {
	names, err := Companions(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := untrusted.Open(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("hf: %w", err)
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("hf: %w", err)
		}
	}
	return nil
}

// maxCompanion bounds the companions that are read as a whole; the largest tokenizer.json has 35 MB.
const maxCompanion = 128 << 20

// ReadCompanion returns the content of a file that Companions may list, of at most 128 MB (4 MB for config.json). It refuses links that
// lead out of the folder, as Companions does; where the file is missing, the error is fs.ErrNotExist.
func ReadCompanion(dir, name string) ([]byte, error) {
	path, err := untrusted.Inside(dir, name)
	if err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	most := int64(maxCompanion)
	if name == ConfigFile {
		most = maxConfig
	}
	text, err := untrusted.ReadFile(path, most)
	if err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	if name == ConfigFile {
		if len(text) == 0 {
			return nil, fmt.Errorf("hf: %w", untrusted.Empty(path))
		}
		if err := untrusted.CheckJSON(path, text, maxConfigValues); err != nil {
			return nil, fmt.Errorf("hf: %w", err)
		}
	}
	return text, nil
}

// isCompanion reports whether a folder has a file of that name.
func isCompanion(dir, name string) (bool, error) {
	path, err := untrusted.Inside(dir, name)
	if err != nil {
		return false, err
	}
	stat, err := os.Stat(path)
	if err != nil || stat.IsDir() {
		return false, nil //nolint:nilerr // most folders have few of them
	}
	if !stat.Mode().IsRegular() {
		return false, &untrusted.Error{Path: path, Text: "it is " + untrusted.Kind(stat.Mode()) + ", not a file", Fix: "take it out of the folder"}
	}
	return true, nil
}

// Tokenizer lists those of names that belong to a tokenizer.
func Tokenizer(names []string) []string {
	var out []string
	for _, name := range names {
		switch {
		case strings.HasPrefix(name, "tokenizer"), strings.HasPrefix(name, "vocab"), strings.HasPrefix(name, "chat_template"),
			slices.Contains([]string{"special_tokens_map.json", "added_tokens.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"}, name):
			out = append(out, name)
		}
	}
	return out
}

// CopyCompanions copies the files that Companions lists into another folder, each whole or not at all, and returns their
// names. A file that is already there stays as it is.
func CopyCompanions(from, to string) ([]string, error) {
	names, err := Companions(from)
	if err != nil {
		return nil, err
	}
	var copied []string
	for _, name := range names {
		source, target := filepath.Join(from, filepath.FromSlash(name)), filepath.Join(to, filepath.FromSlash(name))
		if _, err := os.Lstat(target); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return copied, fmt.Errorf("hf: %w", err)
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return copied, fmt.Errorf("hf: %w", err)
		}
		err := durable.WriteFile(target, func(w io.Writer) error {
			f, err := untrusted.Open(source)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		})
		if err != nil {
			return copied, fmt.Errorf("hf: %s: %w", source, err)
		}
		copied = append(copied, name)
	}
	return copied, nil
}
