package checkpoint

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/ballast-ml/ballast/internal/durable"
)

// Stage is where a merge must be written, as Options.Out, so that Encode makes the file out of it. It lies beside that file.
func Stage(out string) string {
	return filepath.Join(durable.Beside(out, durable.StageSuffix), "merged")
}

// Encode makes the file out of a merged model that lies in Stage(out): encode writes it from that folder to another place. Then its manifest,
// which says in which encoding it is, and the file itself are moved into place, so that there is no moment without a manifest, and the stage
// is removed. When encode fails, the stage stays, and the same merge resumes there.
func Encode(ctx context.Context, m Manifest, out, encoding string, encode func(ctx context.Context, merged, encoded string) error) (Manifest, error) {
	stage := durable.Beside(out, durable.StageSuffix)
	encoded := filepath.Join(stage, "model"+filepath.Ext(out))
	if err := encode(ctx, Stage(out), encoded); err != nil {
		return m, err
	}

	sum, size, err := hashFile(ctx, encoded, make([]byte, copyBuffer), nil)
	if err != nil {
		return m, err
	}
	m.Outputs, m.Encoding = []OutputFile{{File: filepath.Base(out), Bytes: size, SHA256: sum}}, encoding
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return m, err
	}
	if err := writeWhole(manifestOf(out), append(text, '\n')); err != nil {
		return m, err
	}
	if err := os.Rename(encoded, out); err != nil {
		return m, err
	}
	return m, errors.Join(durable.SyncDir(filepath.Dir(out)), os.RemoveAll(stage))
}
