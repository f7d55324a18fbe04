package strict

import "encoding/json"

// The functions of this file walk over JSON that is known to be valid without copying it.

// depthOf is the largest number of lists and mappings within each other. Text that is not JSON has some depth too.
func depthOf(data []byte) int {
	depth, most := 0, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = skipString(data, i) - 1
		case '[', '{':
			depth++
			most = max(most, depth)
		case ']', '}':
			depth--
		}
	}
	return most
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\r' || data[i] == '\t') {
		i++
	}
	return i
}

// skipString returns the place behind the string that begins at i.
func skipString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// skipValue returns the place behind the value that begins at i.
func skipValue(data []byte, i int) int {
	switch data[i] {
	case '"':
		return skipString(data, i)
	case '[', '{':
		depth := 0
	scan:
		for i < len(data) {
			switch data[i] {
			case '"':
				i = skipString(data, i)
				continue
			case '[', '{':
				depth++
			case ']', '}':
				depth--
			}
			if i++; depth == 0 {
				break scan
			}
		}
		return i
	}
	for i < len(data) {
		switch data[i] {
		case ',', ']', '}', ' ', '\n', '\r', '\t':
			return i
		}
		i++
	}
	return i
}

// eachMember calls f with the members of a JSON object, in order, until it returns false. value begins with the member's value.
func eachMember(data []byte, f func(key string, value []byte) bool) {
	for i := skipSpace(data, 1); data[i] != '}'; {
		end := skipString(data, i)
		key := unquote(data[i:end])
		i = skipSpace(data, skipSpace(data, end)+1) // behind the colon
		end = skipValue(data, i)
		if !f(key, data[i:end]) {
			return
		}
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
}

// eachItem calls f with the items of a JSON array, in order.
func eachItem(data []byte, f func(i int, item []byte)) {
	n := 0
	for i := skipSpace(data, 1); data[i] != ']'; n++ {
		end := skipValue(data, i)
		f(n, data[i:end])
		if i = skipSpace(data, end); data[i] == ',' {
			i = skipSpace(data, i+1)
		}
	}
}

// countItems is the number of items of a JSON array.
func countItems(data []byte) (n int) {
	eachItem(data, func(int, []byte) { n++ })
	return n
}

// unquote is the text of a JSON string.
func unquote(data []byte) string {
	var text string
	// The string is part of valid JSON.
	_ = json.Unmarshal(data, &text)
	return text
}
