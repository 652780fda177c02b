package check

// Rules returns the rules in the order in which they are best looked at: a codec that breaks an early one may break
// later ones for the same reason.
func Rules() []Rule {
	return []Rule{
		{"Limits", "Limits returns the same values at every call; none is negative, and Max is at least 1.",
			limitsOfCodec, limitsOfMachine},
		{"RoundTrip", "A payload of any length up to Max arrives as it was, in the room that Limits declares.",
			roundTripOfCodec, roundTripOfMachine},
		{"TooLarge", "A payload longer than Max is refused with an error that wraps ErrTooLarge; a Codec leaves it " +
			"as it was.",
			tooLargeForCodec, tooLargeForMachine},
		{"FrameLen", "FrameLen tells the length of a frame or, while it cannot yet, 0; more bytes do not change " +
			"its answer, and it does not change them.",
			frameLenOfCodec, frameLenOfMachine},
		{"Truncated", "A frame that was cut short is refused where frames can be told apart in a stream.",
			truncatedForCodec, truncatedForMachine},
		{"Noise", "Whatever bytes arrive, nothing panics, and what is refused is refused with an error that " +
			"wraps ErrMalformed.",
			noiseForCodec, noiseForMachine},
		{"Bounded", "FrameLen announces nothing negative, and nothing longer than Head+Max+Tail.",
			boundedCodec, boundedMachine},
		{"Retain", "What was handed over or lent is not used afterwards: overwriting it changes no later frame.",
			retainOfCodec, retainOfMachine},
		{"Independent", "What a Maker makes shares no state: two connections at once do not disturb each other.",
			independentCodecs, independentMachines},
		{"NoAlloc", "A payload is sent and received without an allocation, once a few have been.",
			noAllocOfCodec, noAllocOfMachine},
		{"RejectNoAlloc", "Refusing a malformed frame allocates nothing, so that a flood of them costs nothing.",
			rejectNoAllocOfCodec, rejectNoAllocOfMachine},
		{"Lossy", "Where frames are datagrams, each one that arrives is understood, whatever was lost, repeated " +
			"or overtaken before it.",
			lossyCodec, lossyMachine},
		{"Canonical", "A frame that is accepted is the one that Encode writes for its payload, unless the Codec " +
			"is Lenient or random.",
			canonicalCodec, nil},
		{"Preamble", "Two Preambles understand each other, take no byte that comes after them, and refuse noise " +
			"in bounded space with an error that wraps ErrMalformed.",
			preamble, preamble},
		{"End", "What an Ender says at the end is understood by its peer, which reports Done without an error.",
			nil, endOfMachine},
		{"Clock", "After Tick at the Deadline the next Deadline lies later, or there is none.",
			nil, clockOfMachine},
	}
}

// Lenient is a Codec that accepts frames other than those it writes, as many protocols demand: fields that a reader
// has to ignore, padding of any value. Lenient returns what is ignored in a few words, or "" for nothing. The rule
// Canonical does not apply to a codec that ignores something.
type Lenient interface {
	Lenient() string
}
