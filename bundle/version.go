package bundle

import "runtime/debug"

// Versions returns the versions of what made a bundle: Go, Ballast and the engine's library.
func Versions() map[string]string {
	versions := map[string]string{}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return versions
	}
	versions["go"] = info.GoVersion
	versions["ballast"] = info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			versions["commit"] = setting.Value
		}
	}
	for _, module := range info.Deps {
		switch module.Path {
		case "github.com/gomlx/gomlx":
			versions["gomlx"] = module.Version
		case "github.com/gomlx/go-xla":
			versions["go-xla"] = module.Version
		}
	}
	return versions
}
