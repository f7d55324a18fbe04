package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ballast-ml/ballast/internal/durable"
)

// journal says how many tensors are safe on the disk: a line with the fingerprint of the plan, then a line with a number each time.
type journal struct {
	path string
	file *os.File
}

// open reads the journal of an earlier run of the same plan and goes on in it; any other is begun anew.
func (j *journal) open(fingerprint string, there func(tensors int) bool) (done int, err error) {
	text, err := os.ReadFile(j.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("merge: %w", err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	ours := lines[0] == fingerprint+"\n"
	kept := fingerprint + "\n"
	if ours {
		for _, line := range lines[1:] {
			n := 0
			if _, err := fmt.Sscanf(line, "%d\n", &n); err != nil || !strings.HasSuffix(line, "\n") {
				break // cut when the run was killed
			}
			done, kept = n, kept+line
		}
	}

	if !there(done) {
		done, kept = 0, fingerprint+"\n"
	}
	if string(text) != kept {
		if err := durable.WriteFile(j.path, func(w io.Writer) error { _, err := io.WriteString(w, kept); return err }); err != nil {
			return 0, err
		}
	}
	if j.file, err = os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o644); err != nil {
		return 0, fmt.Errorf("merge: %w", err)
	}
	return done, nil
}

func (j *journal) finished(tensors int) error {
	if _, err := fmt.Fprintf(j.file, "%d\n", tensors); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

// place notes the checksum of the manifest before the output is moved into place.
func (j *journal) place(manifest string) error {
	f, err := os.OpenFile(j.path, os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	_, err = fmt.Fprintf(f, "%s%s\n", placingLine, manifest)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("merge: %w", err)
	}
	return nil
}

const placingLine = "placing "

// placing is the checksum that place has noted for the plan, "" if the work had not come so far.
func (j *journal) placing(fingerprint string) string {
	text, err := os.ReadFile(j.path)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(text), "\n")
	if lines[0] != fingerprint || len(lines) < 2 { // the last one is empty: its line is whole
		return ""
	}
	sum, _ := strings.CutPrefix(lines[len(lines)-2], placingLine)
	if lines[len(lines)-1] != "" || sum == lines[len(lines)-2] {
		return ""
	}
	return sum
}

func (j *journal) close() { j.file.Close() }
