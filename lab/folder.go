package lab

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ballast-ml/ballast/bundle"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
	"github.com/ballast-ml/ballast/train"
	"github.com/ballast-ml/ballast/train/update"
)

// RunFiles are the files of a run's folder, the trained model in model/ among them, as patterns of package path.
var RunFiles = slices.Concat(
	[]string{"config.yaml", "overrides.txt", "meta.json", "metrics.jsonl", "events.out.tfevents.*", "run.lock", "summary.json", "artifacts/", update.SuspectsFile},
	train.Files, durable.Within("model", bundle.Files),
)

// CompareFiles are the files of a folder of Compare.
var CompareFiles = slices.Concat([]string{"comparison.json", "report.md", "comparison.png"}, durable.Within("*/seed-*", RunFiles))

// IsRun reports whether a folder holds a run that Start has begun.
func IsRun(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, "meta.json"))
	return err == nil
}

// IsComparison reports whether a folder holds runs of Compare.
func IsComparison(dir string) bool {
	variants, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, v := range variants {
		seeds, err := os.ReadDir(filepath.Join(dir, v.Name()))
		if err == nil && slices.ContainsFunc(seeds, func(s os.DirEntry) bool {
			return strings.HasPrefix(s.Name(), "seed-") && IsRun(filepath.Join(dir, v.Name(), s.Name()))
		}) {
			return true
		}
	}
	return false
}

// EngineOf is the kind of engine that the run in a folder is made on, "" where there is no run or it does not say.
func EngineOf(dir string) string {
	text, err := untrusted.ReadFileNoLink(filepath.Join(dir, "meta.json"), mostMeta)
	var m struct {
		Engine string `json:"engine"`
	}
	if err == nil && json.Unmarshal(text, &m) == nil && m.Engine != "" {
		return m.Engine
	}
	return train.EngineOf(dir)
}

// EngineOfRuns is the kind of engine that the runs in a folder of Compare are made on, "" where there are none.
func EngineOfRuns(dir string) string {
	runs, err := filepath.Glob(filepath.Join(globbed(dir), "*", "seed-*"))
	if err != nil {
		return ""
	}
	for _, run := range runs {
		if IsRun(run) {
			return EngineOf(run)
		}
	}
	return ""
}

// globbed is a path as a pattern that it alone fits.
func globbed(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}
