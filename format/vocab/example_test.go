package vocab_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/format/vocab"
)

// The chat template of a folder becomes the keys that GGUF keeps it under, and is read back from them.
func ExampleTemplates() {
	dir, err := os.MkdirTemp("", "vocab")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	settings := `{"chat_template": [{"name": "default", "template": "{{ messages }}"}, {"name": "tools", "template": "{{ tools }}"}]}`
	if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), []byte(settings), 0o600); err != nil {
		log.Fatal(err)
	}

	templates, err := vocab.Templates(dir)
	if err != nil {
		log.Fatal(err)
	}
	keys := vocab.TemplateKeys(templates)
	fmt.Println(keys["tokenizer.chat_template"])
	for _, t := range vocab.TemplatesOf(func(key string) any { return keys[key] }) {
		fmt.Println(t.Name, t.Text)
	}
	// Output:
	// {{ messages }}
	// default {{ messages }}
	// tools {{ tools }}
}
