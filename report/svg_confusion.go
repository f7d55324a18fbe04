package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// confusionFigure draws the confusion matrix: rows are labels, columns answers, the colour the share of the row, on a root scale so that few
// mistakes show. Counts are written in where they can be read.
func confusionFigure(confusion [][]int, labels []string) *Figure {
	n := len(confusion)
	if n == 0 {
		return nil
	}
	longest := 0
	for _, l := range labels {
		longest = max(longest, utf8.RuneCountInString(l))
	}
	const width, top, right, mostName = 360, 24, 6, 10
	left := 26 + 6.4*float64(min(longest, mostName))
	cell := (width - left - right) / float64(n)
	bottom := 34.0
	if longest > 2 {
		bottom = 28 + 4.6*float64(min(longest, mostName))
	}
	height := top + cell*float64(n) + bottom
	d := newDrawing(width, height)
	d.text("soft", "start", 2, 12, "label")
	for i, row := range confusion {
		total := 0
		for _, count := range row {
			total += count
		}
		for j, count := range row {
			x, y := left+cell*float64(j), top+cell*float64(i)
			if count == 0 {
				continue
			}
			class, says := "wrong", fmt.Sprintf("%s taken for %s: %d of %d", labels[i], labels[j], count, total)
			if i == j {
				class, says = "bar", fmt.Sprintf("%s: %d of %d right", labels[i], count, total)
			}
			// At most half strength, on which text of the page's colour can be read in light and in dark.
			d.rect(class, x+0.5, y+0.5, cell-1, cell-1, 0.1+0.45*math.Sqrt(float64(count)/float64(total)), says)
			if digits := float64(len(fmt.Sprint(count))); cell >= 7.2*digits && cell >= 16 {
				d.text("count", "middle", x+cell/2, y+cell/2+4, fmt.Sprint(count))
			}
		}
	}

	step := max(1, int(math.Ceil(15/cell)))
	for i := 0; i < n; i += step {
		at := (float64(i) + 0.5) * cell
		d.text("tick", "end", left-5, top+at+4, cut(labels[i], mostName))
		if longest > 2 {
			d.slanted("tick", left+at+4, height-bottom+12, cut(labels[i], mostName), labels[i])
		} else {
			d.text("tick", "middle", left+at, height-bottom+14, labels[i])
		}
	}
	d.text("soft", "middle", left+cell*float64(n)/2, height-3, "answer")
	return d.figure(describeConfusion(confusion, labels), classKey(true, "bar", "right"), classKey(true, "wrong", "wrong; stronger where it is a larger share of the row"))
}

// mistake is how often a class was taken for another.
type mistake struct{ label, answer, count int }

// describeConfusion names the most frequent mistakes.
func describeConfusion(confusion [][]int, labels []string) string {
	var all []mistake
	for i, row := range confusion {
		for j, count := range row {
			if i != j && count > 0 {
				all = append(all, mistake{i, j, count})
			}
		}
	}
	if len(all) == 0 {
		return "Every answer is right."
	}
	slices.SortStableFunc(all, func(a, b mistake) int { return b.count - a.count })
	var parts []string
	for _, m := range all[:min(5, len(all))] {
		parts = append(parts, fmt.Sprintf("%s taken for %s %d times", labels[m.label], labels[m.answer], m.count))
	}
	return "Most frequent mistakes: " + strings.Join(parts, ", ") + "."
}
