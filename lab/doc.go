// Package lab runs experiments: many runs from one recipe, each in a folder of its own, and what they show together.
//
//	what                                    where
//	key=value settings, sweeps              Apply, Expand, Recipe
//	a run's folder, its measurements        Start, Run
//	runs beside each other                  Compare
//	smoothed curves                         Smooth
package lab
