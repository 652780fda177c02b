// Command gen writes the test vectors. Run it from the root of the module: go run ./spec/vectors/gen
//
// It knows nothing of the codecs' code: every frame is written out here, or taken from other programs, so that the
// vectors say what is right, and not what the code does.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

func main() {
	dir := flag.String("dir", "spec/vectors", "the directory to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// write makes the files below dir those that files returns: it writes them and removes what else is called .txt there.
func write(dir string) error {
	want, err := files()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "vectors.go")); err != nil {
		return fmt.Errorf("%s is not the directory of the vectors; run this from the root of the module: %w", dir, err)
	}
	have, err := filepath.Glob(filepath.Join(dir, "*", "*.txt"))
	if err != nil {
		return err
	}
	for _, path := range have {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if _, ok := want[filepath.ToSlash(name)]; !ok {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, want[name], 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, dtlsName), dtlsFile(), 0o644)
}

// dtlsName is where the vectors of DTLS lie, which are of no codec.
const dtlsName = "../dtls-vectors.txt"

// allVectors returns those of every codec.
func allVectors() []vector {
	return slices.Concat(capwapVectors(), channelDataVectors(), cobsVectors(), descVectors(), eapVectors(),
		eapolVectors(), hdlcVectors(), isotpVectors(), lengthVectors(), openvpnVectors(), radiusVectors(), shimVectors(),
		slipVectors(), tdsVectors(), tpktVectors(), wasmVectors(), websocketVectors())
}

// files returns the contents of all files by name.
func files() (map[string][]byte, error) {
	all := map[string][]byte{}
	for _, v := range allVectors() {
		text, err := v.text()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.id, err)
		}
		if _, twice := all[v.name()]; twice {
			return nil, fmt.Errorf("%s: the id is given twice", v.id)
		}
		all[v.name()] = text
	}
	return all, nil
}
