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
)

// companions are the files that belong to a model beside its weights, and may go wherever it goes.
var companions = []string{
	ConfigFile, "generation_config.json", CardFile,
	"tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
	"spiece.model", "sentencepiece.bpe.model", "chat_template.jinja", "chat_template.json",
	"preprocessor_config.json", "processor_config.json", "image_processor_config.json",
	"modules.json", "sentence_bert_config.json", "config_sentence_transformers.json", "1_Pooling/config.json", "2_Dense/config.json",
}

// Companions lists the files of a folder that belong to a model beside its weights: config, tokenizer, card, licences.
func Companions(dir string) ([]string, error) {
	var out []string
	add := func(name string) {
		if stat, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name))); err == nil && stat.Mode().IsRegular() && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, name := range companions {
		add(name)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("hf: %w", err)
	}
	for _, e := range entries {
		for _, prefix := range []string{"LICENSE", "LICENCE", "NOTICE", "USE_POLICY", "COPYING"} {
			if strings.HasPrefix(strings.ToUpper(e.Name()), prefix) {
				add(e.Name())
			}
		}
	}
	return out, nil
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
			f, err := os.Open(source)
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
