// Package rankmixup is the paper "RankMixup: Ranking-Based Mixup Training for Network Calibration".
package rankmixup
