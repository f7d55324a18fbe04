package data

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Opening opens sets of a user's own with what their names do not say. The zero value is what the function Open does.
type Opening struct {
	// SkipDamaged leaves out pictures that cannot be decoded, and counts them. Every picture is decoded once for that.
	SkipDamaged bool

	// Progress, if not nil, is told how many pictures of how many were looked at, and the checksum of the set is made on that way.
	Progress func(done, total int)
}

// pictureOptions are the options behind the name of a set of pictures.
type pictureOptions struct {
	height, width, channels int
	resize                  bool
	skipDamaged             bool

	image, label string // columns of a table, or the endings of members of an archive; "" = found
}

// parsePictureOptions reads size=HEIGHTxWIDTH, channels=1 or 3, and damaged=skip; and of a set with columns (more) image=NAME and label=NAME.
func parsePictureOptions(name, query string, more ...string) (o pictureOptions, err error) {
	options, err := url.ParseQuery(query)
	if err != nil {
		return o, usage("data: %s: options: %w", name, err)
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		value := options[key][0]
		switch {
		case key == "size":
			height, width, ok := strings.Cut(value, "x")
			o.height, _ = strconv.Atoi(height)
			o.width, _ = strconv.Atoi(width)
			if !ok || o.height < 1 || o.width < 1 || o.height > maxSide || o.width > maxSide {
				return o, usage("data: %s: size is %q; write HEIGHTxWIDTH, such as 32x32", name, value)
			}
			o.resize = true
		case key == "channels" && (value == "1" || value == "3"):
			o.channels = int(value[0] - '0')
		case key == "damaged" && value == "skip":
			o.skipDamaged = true
		case key == "image" && value != "" && slices.Contains(more, key):
			o.image = value
		case key == "label" && value != "" && slices.Contains(more, key):
			o.label = value
		default:
			known := "size=HEIGHTxWIDTH, channels=1 or channels=3, damaged=skip"
			for _, m := range more {
				known += ", " + m + "=NAME"
			}
			return o, usage("data: %s: option %s=%s is unknown; use %s", name, key, value, known)
		}
	}
	return o, nil
}

// few are the first names of several.
func few(names []string) string {
	const most = 5
	text := strings.Join(names[:min(most, len(names))], ", ")
	if len(names) > most {
		text += ", ..."
	}
	return text
}
