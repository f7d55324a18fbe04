package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// EnvHome is the environment variable that moves Ballast's data folder.
const EnvHome = "BALLAST_HOME"

// Home is Ballast's data folder: what BALLAST_HOME says, else ballast in the user's data folder (XDG_DATA_HOME or
// ~/.local/share; ~/Library/Application Support; %LocalAppData%). It need not exist. Data sets live in its folder data.
func Home() (string, error) {
	if home := os.Getenv(EnvHome); home != "" {
		return filepath.Abs(home)
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		dir, err := os.UserConfigDir()
		if runtime.GOOS == "windows" {
			dir, err = os.UserCacheDir() // %LocalAppData%: a plugin has no place in a roaming profile
		}
		if err != nil {
			return "", noHome(err)
		}
		return filepath.Join(dir, "ballast"), nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ballast"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", noHome(err)
	}
	return filepath.Join(home, ".local", "share", "ballast"), nil
}

// Dir is the folder of the plugins, engine in Home.
func Dir() (string, error) {
	home, err := Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "engine"), nil
}

func noHome(err error) error {
	return fmt.Errorf("engine: no folder for data: %w; set %s", err, EnvHome)
}
