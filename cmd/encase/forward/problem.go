package forward

import "github.com/encase-tls/encase/cmd/encase/conf"

// What is found wrong, by its names here.
type (
	problem     = conf.Problem
	problems    = conf.Problems
	place       = conf.Place
	configError = conf.Error
)

// statusConfig is the status that the program ends with if there is a mistake.
const statusConfig = conf.Status
