package engine

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/ballast-ml/ballast/fault"
	"github.com/ballast-ml/ballast/internal/download"
	"github.com/ballast-ml/ballast/internal/durable"
	"github.com/ballast-ml/ballast/internal/untrusted"
)

// wheel is a Python package as its index has it.
type wheel struct {
	name, version string
	platform      string // the last part of the file's name
	size          int64  // bytes to download
	kept          int64  // bytes of the files that are unpacked, see keep
	sha256        string
}

func (w wheel) file() string {
	return strings.ReplaceAll(w.name, "-", "_") + "-" + w.version + "-py3-none-" + w.platform + ".whl"
}

// cudaSet is an XLA CUDA plugin with the CUDA libraries that it loads. Its folder in the engine folder looks as Python's
// site-packages does: the plugin looks for the libraries in ../../nvidia, as seen from its own folder, and the libraries
// for each other in the same way.
type cudaSet struct {
	version string
	driver  int    // the oldest driver it runs on
	folder  string // in the engine folder; "cuda" in it tells go-xla what the plugin is
	plugin  string // in the folder, as all below
	root    string // holds bin/ptxas and nvvm/libdevice
	preload []string
	wheels  []wheel // the plugin's last
}

// cudaSets are the sets that Ballast installs, the newest first: what the package index had for the extra with-cuda of
// jax-cuda13-plugin and jax-cuda12-plugin 0.11.2 when those came out. nvidia-cuda-crt is left out, which is headers alone.
// The libraries to load before the plugin are those that JAX loads.
var cudaSets = []cudaSet{
	{
		version: "13", driver: 580, folder: "cuda13",
		plugin: "jax_plugins/xla_cuda13/xla_cuda_plugin.so", root: "nvidia/cu13",
		preload: []string{
			"nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cu13/lib/libnvJitLink.so.13", "nvidia/cu13/lib/libcublasLt.so.13",
			"nvidia/cu13/lib/libcublas.so.13", "nvidia/nccl/lib/libnccl.so.2", "nvidia/cu13/lib/libcupti.so.13", "nvidia/cu13/lib/libcusparse.so.12",
			"nvidia/cu13/lib/libcusolver.so.12", "nvidia/cu13/lib/libcufft.so.12", "nvidia/nvshmem/lib/libnvshmem_host.so.3", "nvidia/cudnn/lib/libcudnn.so.9",
		},
		wheels: []wheel{
			{"nvidia-cublas", "13.8.0.4", "manylinux_2_27_x86_64", 439317144, 603919982, "9f17797dfcc048694461f4e47de17d2e3c25adf172ef723d2db0a07cd8744b89"},
			{"nvidia-cuda-cupti", "13.4.92", "manylinux_2_25_x86_64", 13058283, 52498894, "037b561575e6983bc4fe1caae644d7a296a8367f451bf6c2a3194f4d0765431c"},
			{"nvidia-cuda-nvcc", "13.4.92", "manylinux2014_x86_64.manylinux_2_17_x86_64", 47672022, 99352934, "a1f3bfb27299e060b444d5df1f4bcd762501326cf0fd3141ed61756816ab9a0e"},
			{"nvidia-cuda-runtime", "13.4.92", "manylinux2014_x86_64.manylinux_2_17_x86_64", 2494438, 857758, "9641f797da20ce1dd8e779b6e96d08cf9ba564cec8e8225458811ee26423f3a5"},
			{"nvidia-cudnn-cu13", "9.26.0.51", "manylinux_2_27_x86_64", 519150073, 887695286, "9c976d539786698c71d6bcdbe2053b7485fae062ff7e1215d2f2ff67b1a2149a"},
			{"nvidia-cufft", "12.4.0.43", "manylinux2014_x86_64.manylinux_2_17_x86_64", 161750089, 237048270, "0e8385013596b112d29c9ce8c63dc575b308d77636c7169104e18714f03961a8"},
			{"nvidia-cusolver", "12.3.4.7", "manylinux_2_27_x86_64", 246439468, 274833302, "225dd543c7b93ca22e62a35b5f4d8b4f9caa515733793925c05cdcf58da5cf02"},
			{"nvidia-cusparse", "12.8.6.72", "manylinux2014_x86_64.manylinux_2_17_x86_64", 170468146, 187902830, "a739f6ff51ea2a8a2990b267b9b4d3063a5d94890efb8ccf393bfcab9dd487aa"},
			{"nvidia-nccl-cu13", "2.31.2", "manylinux_2_18_x86_64", 252442223, 299261599, "0bcaf0308854cb55fcc35af72e2c83143f3b71e65a4e865e2c586b1cdcdb5ae0"},
			{"nvidia-nvjitlink", "13.4.92", "manylinux2010_x86_64.manylinux_2_12_x86_64", 42452378, 103662110, "e0391f24ed94ec879b84e3da4d4ec320c879aff681f2c7a638462f7199284323"},
			{"nvidia-cuda-nvrtc", "13.4.92", "manylinux2010_x86_64.manylinux_2_12_x86_64", 53301733, 133593566, "5ce8c97b00b232c4f50c8c4b5a3b68cafee08bdb82ea86f2052ff01d03194f4a"},
			{"nvidia-nvshmem-cu13", "3.7.2", "manylinux2014_x86_64.manylinux_2_17_x86_64", 135397797, 51722374, "b9a4f843c62b5dded8ad33fd6d220e007dcd39f06cee549292f5ba14ce4c235c"},
			{"nvidia-nvvm", "13.4.92", "manylinux2010_x86_64.manylinux_2_12_x86_64", 72604627, 69127674, "e4c81cb321dd9743bcf871c5e7e8fecd7f05dea607944426e102bdda8d49e137"},
			{"jax-cuda13-pjrt", "0.11.2", "manylinux_2_27_x86_64", 134162640, 411465856, "e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e"},
		},
	},
	{
		version: "12", driver: 525, folder: "cuda12",
		plugin: "jax_plugins/xla_cuda12/xla_cuda_plugin.so", root: "nvidia/cuda_nvcc",
		preload: []string{
			"nvidia/cuda_runtime/lib/libcudart.so.12", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "nvidia/nvjitlink/lib/libnvJitLink.so.12",
			"nvidia/cublas/lib/libcublasLt.so.12", "nvidia/cublas/lib/libcublas.so.12", "nvidia/nccl/lib/libnccl.so.2", "nvidia/cuda_cupti/lib/libcupti.so.12",
			"nvidia/cusparse/lib/libcusparse.so.12", "nvidia/cusolver/lib/libcusolver.so.11", "nvidia/cufft/lib/libcufft.so.11",
			"nvidia/nvshmem/lib/libnvshmem_host.so.3", "nvidia/cudnn/lib/libcudnn.so.9",
		},
		wheels: []wheel{
			{"nvidia-cublas-cu12", "12.9.2.10", "manylinux_2_27_x86_64", 581240110, 855164062, "e4f53a8ca8c5d6e8c492d0d0a3d565ecb59a751b19cfdaa4f6da0ab2104c1702"},
			{"nvidia-cuda-cupti-cu12", "12.9.79", "manylinux_2_25_x86_64", 10814997, 43425030, "096bcf334f13e1984ba36685ad4c1d6347db214de03dbb6eebb237b41d9d934f"},
			{"nvidia-cuda-nvcc-cu12", "12.9.86", "manylinux2010_x86_64.manylinux_2_12_x86_64", 40546229, 35476486, "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0"},
			{"nvidia-cuda-runtime-cu12", "12.9.79", "manylinux2014_x86_64.manylinux_2_17_x86_64", 3493179, 800350, "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3"},
			{"nvidia-cudnn-cu12", "9.26.0.51", "manylinux_2_27_x86_64", 770488318, 1221126622, "ce8603d4ea88d134be5a92c5e0833d513bea1ce0ee4bbc5d649fcb8718d51cbf"},
			{"nvidia-cufft-cu12", "11.4.1.4", "manylinux2014_x86_64.manylinux_2_17_x86_64", 200877592, 293668678, "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28"},
			{"nvidia-cusolver-cu12", "11.7.5.82", "manylinux_2_27_x86_64", 338117415, 495034326, "15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88"},
			{"nvidia-cusparse-cu12", "12.5.10.65", "manylinux2014_x86_64.manylinux_2_17_x86_64", 366465088, 486615630, "73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78"},
			{"nvidia-nccl-cu12", "2.31.2", "manylinux_2_18_x86_64", 342105414, 473268367, "f9b1dc3c2a7e20176054144ebb3b32fea83b40402ee5d7ac7045cd11ecc956c0"},
			{"nvidia-nvjitlink-cu12", "12.9.86", "manylinux2010_x86_64.manylinux_2_12_x86_64", 39748338, 95994606, "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9"},
			{"nvidia-cuda-nvrtc-cu12", "12.9.86", "manylinux2010_x86_64.manylinux_2_12_x86_64", 89568129, 227400254, "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4"},
			{"nvidia-nvshmem-cu12", "3.7.2", "manylinux2014_x86_64.manylinux_2_17_x86_64", 230171132, 185321294, "02b6d3482d90ea8ba214bc400362297f573257763990a98c9846ec5c786a7227"},
			{"jax-cuda12-pjrt", "0.11.2", "manylinux_2_27_x86_64", 188235313, 497519016, "2133b3afc63307c016ae4980f166b2b3de199759363ead74f7d550eaae953463"},
		},
	},
}

// keep matches what is unpacked of a wheel: shared libraries, the assembler and linker that XLA starts, the device
// library, and the licences.
var keep = regexp.MustCompile(`^(nvidia/[^/]+/lib/[^/]+\.so(\.[0-9]+)*|nvidia/[^/]+/bin/(ptxas|nvlink)|nvidia/[^/]+/nvvm/libdevice/[^/]+|jax_plugins/[^/]+/[^/]+\.so|[^/]+\.dist-info/licenses/.+)$`)

// Where the driver of an NVIDIA GPU shows itself. Variables, so that a test can have one.
var (
	nvidiaDevice  = "/dev/nvidiactl"
	nvidiaVersion = "/proc/driver/nvidia/version"
)

// hasNVIDIA reports whether the driver of an NVIDIA GPU is there.
func hasNVIDIA() bool {
	if runtime.GOOS != "linux" {
		return false
	}
	_, err := os.Stat(nvidiaDevice)
	return err == nil
}

var driverNumber = regexp.MustCompile(`\b(\d{3,})\.\d+`)

// nvidiaDriver is the first number of the driver's version, 0 if it is not known.
func nvidiaDriver() int {
	data, err := os.ReadFile(nvidiaVersion)
	if err != nil {
		return 0
	}
	m := driverNumber.FindSubmatch(data)
	if m == nil {
		return 0
	}
	n, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return n
}

// chooseCUDA returns the set of a version, or for "auto" the newest that the driver runs.
func chooseCUDA(version string) (cudaSet, error) {
	driver := nvidiaDriver()
	var known []string
	for _, s := range cudaSets {
		if s.version == version || version == "auto" && (driver == 0 || driver >= s.driver) {
			return s, nil
		}
		known = append(known, s.version)
	}
	if version == "auto" {
		oldest := cudaSets[len(cudaSets)-1]
		return cudaSet{}, fmt.Errorf("engine: the NVIDIA driver here is %d; CUDA %s needs %d or newer", driver, oldest.version, oldest.driver)
	}
	return cudaSet{}, &fault.Usage{Err: fmt.Errorf("engine: no CUDA %q; there are %s", version, strings.Join(known, ", "))}
}

// unpacked is the marker of a wheel: written last, it says that all its files are in place.
type unpacked struct {
	Version string       `json:"version"`
	SHA256  string       `json:"sha256"` // of the wheel
	Files   []placedFile `json:"files"`
}

type placedFile struct {
	Path string `json:"path"` // in the set's folder
	marker
}

func wheelMarker(root string, w wheel) string { return filepath.Join(root, "wheels", w.name+".json") }

// check says what is wrong with a wheel's files. Sizes and times spare hashing gigabytes at every start.
func (w wheel) check(root string, hash bool) error {
	const most = 16 << 20 // a marker has 200 bytes for each file
	data, err := untrusted.ReadFile(wheelMarker(root, w), most)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing", w.name)
	}
	if err != nil {
		return err
	}
	var u unpacked
	if err := json.Unmarshal(data, &u); err != nil {
		return fmt.Errorf("the marker of %s: %w", w.name, err)
	}
	if u.SHA256 != w.sha256 {
		return fmt.Errorf("%s is version %s, want %s", w.name, u.Version, w.version)
	}
	for _, f := range u.Files {
		if hash {
			f.Modified = -1
		}
		if f.Next = nil; !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return fmt.Errorf("the marker of %s names a file outside its folder", w.name)
		}
		if err := f.verify(filepath.Join(root, filepath.FromSlash(f.Path))); err != nil {
			return err
		}
	}
	return nil
}

// findCUDA returns the plugin of an installed set that is whole: the one that fits the driver, else any.
func findCUDA(dir string) (string, error) {
	const fix = `run "ballast engine install --cuda" again`
	sets := cudaSets
	if fits, err := chooseCUDA("auto"); err == nil {
		sets = append([]cudaSet{fits}, sets...)
	}
	var first error
	for _, s := range sets {
		root := filepath.Join(dir, s.folder)
		if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var err error
		for _, w := range s.wheels {
			if err = w.check(root, false); err != nil {
				err = &fault.Input{File: root, Err: fmt.Errorf("the CUDA engine is not whole: %w", err), Fix: fix}
				break
			}
		}
		if err == nil {
			return filepath.Join(root, filepath.FromSlash(s.plugin)), nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = &notInstalled{filepath.Join(dir, cudaSets[0].folder)}
	}
	return "", first
}

// setOf returns the set that a plugin belongs to, and its folder.
func setOf(plugin string) (s cudaSet, root string, ok bool) {
	for _, s := range cudaSets {
		if root, ok := strings.CutSuffix(filepath.ToSlash(plugin), "/"+s.plugin); ok {
			return s, filepath.FromSlash(root), true
		}
	}
	return cudaSet{}, "", false
}

// pointAtCUDA tells XLA where ptxas and libdevice are, unless the user does.
func (s cudaSet) pointAtCUDA(root string) error {
	const env, flag = "XLA_FLAGS", "--xla_gpu_cuda_data_dir"
	flags := os.Getenv(env)
	if strings.Contains(flags, flag) {
		return nil
	}
	at := filepath.Join(root, filepath.FromSlash(s.root))
	if strings.ContainsAny(at, " \t\n'\"") {
		return nil // XLA splits its flags at blanks; it also looks beside the plugin by itself
	}
	return os.Setenv(env, strings.TrimSpace(flags+" "+flag+"="+at))
}

// installCUDA puts a set into the engine folder, wheel by wheel: a wheel that is in place stays, so that an install that
// was killed goes on where it was. With Force the files in place are hashed.
func installCUDA(ctx context.Context, dir string, o InstallOptions) (Installed, error) {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return Installed{}, fmt.Errorf("engine: the CUDA engine is for linux/amd64, this is %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	set, err := chooseCUDA(o.CUDA)
	if err != nil {
		return Installed{}, err
	}
	if !hasNVIDIA() && !o.Force {
		return Installed{}, errors.New("engine: no NVIDIA GPU was found here; --force installs the CUDA engine all the same")
	}
	root := filepath.Join(dir, set.folder)
	plugin := filepath.Join(root, filepath.FromSlash(set.plugin))
	var missing []wheel
	for _, w := range set.wheels {
		if w.check(root, o.Force) != nil {
			missing = append(missing, w)
		}
	}
	last := set.wheels[len(set.wheels)-1]
	version := last.name + " " + last.version
	if len(missing) > 0 {
		if err := os.MkdirAll(root, 0o755); err != nil {
			return Installed{}, fmt.Errorf("engine: %w", err)
		}
		if err := enoughSpace(root, missing, o.From == ""); err != nil {
			return Installed{}, err
		}
		if err := getWheels(ctx, root, missing, o); err != nil {
			return Installed{}, err
		}
	}
	m, err := readMarker(plugin)
	if err != nil { // the plugin's own marker, as the CPU plugin has one
		digest, err := fileDigest(plugin)
		if err != nil {
			return Installed{}, err
		}
		if err := mark(plugin, version, digest); err != nil {
			return Installed{}, err
		}
		m.SHA256 = digest
	}
	return Installed{Path: plugin, Version: version, SHA256: m.SHA256, Already: len(missing) == 0}, nil
}

// enoughSpace compares what the wheels need with what is free. One wheel at a time is on the disk besides its files.
func enoughSpace(root string, wheels []wheel, download bool) error {
	var need, largest int64
	for _, w := range wheels {
		need += w.kept
		largest = max(largest, w.size)
	}
	if download {
		need += largest
	}
	free, err := freeBytes(root)
	if err != nil {
		return nil //nolint:nilerr // a file system that does not say; a full disk is an error later, and nothing is broken
	}
	if free < need {
		return fmt.Errorf("engine: the CUDA engine needs %.1f GB in %s, %.1f GB are free; make room, or have %s name another folder",
			float64(need)/1e9, root, float64(free)/1e9, EnvHome)
	}
	return nil
}

// getWheels fetches or finds each wheel, checks its digest and unpacks it.
func getWheels(ctx context.Context, root string, wheels []wheel, o InstallOptions) error {
	if o.From != "" {
		var absent []string
		for _, w := range wheels {
			if _, err := os.Stat(filepath.Join(o.From, w.file())); err != nil {
				absent = append(absent, w.file())
			}
		}
		if len(absent) > 0 {
			return &fault.Input{File: o.From, Err: fmt.Errorf("%d wheels are not there: %s", len(absent), strings.Join(absent, ", ")), Fix: "download them from a Python package index into this folder"}
		}
	}
	var total, done int64
	for _, w := range wheels {
		total += w.size
	}
	for _, w := range wheels {
		tell := func(n, _ int64) {
			if o.Progress != nil {
				o.Progress(done+n, total)
			}
		}
		err := withWheel(ctx, root, w, o, tell, func(f *os.File) error { return w.unpack(ctx, f, root) })
		if err != nil {
			return err
		}
		done += w.size
		tell(0, 0)
	}
	return nil
}

// withWheel hands over the file of a wheel whose digest was checked.
func withWheel(ctx context.Context, root string, w wheel, o InstallOptions, tell func(done, total int64), use func(*os.File) error) error {
	if o.From == "" {
		return downloaded(ctx, o, w, root, tell, use)
	}
	from := filepath.Join(o.From, w.file())
	if err := wantDigest(ctx, from, w); err != nil {
		return err
	}
	f, err := untrusted.Open(from)
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	return use(f)
}

// unpack writes the files of a wheel, each under a temporary name first, and then the wheel's marker.
func (w wheel) unpack(ctx context.Context, f *os.File, root string) error {
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	archive, err := zip.NewReader(f, info.Size())
	if err != nil {
		return &fault.Input{File: f.Name(), Err: err, Fix: "give the wheels of a Python package index"}
	}
	u := unpacked{Version: w.version, SHA256: w.sha256}
	for _, z := range archive.File {
		if !keep.MatchString(z.Name) || !filepath.IsLocal(z.Name) {
			continue
		}
		p, err := placeZipped(ctx, z, root)
		if err != nil {
			return fmt.Errorf("engine: %s: %w", w.file(), err)
		}
		u.Files = append(u.Files, p)
	}
	return durable.WriteFile(wheelMarker(root, w), func(out io.Writer) error { return json.NewEncoder(out).Encode(u) })
}

func placeZipped(ctx context.Context, z *zip.File, root string) (placedFile, error) {
	to := filepath.Join(root, filepath.FromSlash(z.Name))
	r, err := z.Open()
	if err != nil {
		return placedFile{}, err
	}
	h := sha256.New()
	err = durable.WriteFile(to, func(out io.Writer) error {
		_, err := io.Copy(io.MultiWriter(out, h), download.Stoppable(ctx, r))
		return err
	})
	if err = errors.Join(err, r.Close()); err != nil {
		return placedFile{}, err
	}
	if strings.Contains(z.Name, "/bin/") {
		if err := os.Chmod(to, 0o755); err != nil {
			return placedFile{}, err
		}
	}
	info, err := os.Stat(to)
	if err != nil {
		return placedFile{}, err
	}
	return placedFile{Path: z.Name, marker: marker{SHA256: hex.EncodeToString(h.Sum(nil)), Size: info.Size(), Modified: info.ModTime().UnixNano()}}, nil
}
