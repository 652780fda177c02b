// Package vectors holds the test vectors of the codecs, for programs in any language. README.md describes their form.
package vectors

import "embed"

// FS holds one directory per codec, and in it one file per vector, named after its id.
//
//go:embed */*.txt
var FS embed.FS
