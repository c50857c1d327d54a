package report

// Medians and quantiles. Means are not used: one pause of a busy machine would move them.

import (
	"fmt"
	"slices"
	"strings"
)

// Quantile gives the value below which the part q (0 to 1) of the values lies: the nearest rank. It is NaN-free:
// of no values it panics.
func Quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// Median gives the middle value, of an even number the mean of the two.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio gives how many times the base the values are. Values of as many rounds are compared round by round, since
// what makes a machine slow for a while then hits both sides; others by their medians.
func Ratio(values, base []float64) float64 {
	if len(values) != len(base) {
		return Median(values) / Median(base)
	}
	ratios := make([]float64, len(values))
	for i := range values {
		ratios[i] = values[i] / base[i]
	}
	return Median(ratios)
}

// Number writes a value with three digits or, if it is larger, as a whole number with commas.
func Number(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	digits := fmt.Sprintf("%.0f", v)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
