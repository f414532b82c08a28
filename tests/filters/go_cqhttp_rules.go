// Says what go-cqhttp's event filter makes of events, by the rules of its documentation and by gjson itself.
//
// Reads a JSON array of objects with "filter" and "event" (strings of JSON) from stdin, and writes an array of
// true, false, and "mistake" where the filter does not load. Run by make_go_cqhttp_table.py.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

type test func(value gjson.Result) bool

type mistake struct{ words string }

func refuse(words string) test { panic(mistake{words}) }

// all returns a test that every member of an object holds.
func all(object gjson.Result) test {
	if !object.IsObject() {
		return refuse("not an object")
	}
	var tests []test
	object.ForEach(func(key, argument gjson.Result) bool {
		tests = append(tests, member(key.String(), argument))
		return true
	})
	return func(value gjson.Result) bool {
		for _, one := range tests {
			if !one(value) {
				return false
			}
		}
		return true
	}
}

func member(key string, argument gjson.Result) test {
	if key == "" {
		return refuse("an empty key")
	}
	if key[0] == '.' {
		return operator(key, argument)
	}
	var inner test
	if argument.IsObject() {
		inner = all(argument)
	} else {
		inner = operator(".eq", argument)
	}
	return func(value gjson.Result) bool { return inner(value.Get(key)) }
}

func operator(name string, argument gjson.Result) test {
	isString := argument.Type == gjson.String
	text := argument.String()
	switch name {
	case ".and":
		return all(argument)
	case ".not":
		inner := all(argument)
		return func(value gjson.Result) bool { return !inner(value) }
	case ".or":
		if !argument.IsArray() {
			return refuse("not an array")
		}
		var tests []test
		for _, element := range argument.Array() {
			tests = append(tests, all(element))
		}
		return func(value gjson.Result) bool {
			for _, one := range tests {
				if one(value) {
					return true
				}
			}
			return false
		}
	case ".eq":
		return func(value gjson.Result) bool { return value.String() == text }
	case ".neq":
		return func(value gjson.Result) bool { return value.String() != text }
	case ".in":
		if argument.IsArray() {
			listed := map[string]bool{}
			for _, element := range argument.Array() {
				listed[element.String()] = true
			}
			return func(value gjson.Result) bool { return listed[value.String()] }
		}
		if isString {
			return func(value gjson.Result) bool { return strings.Contains(text, value.String()) }
		}
	case ".contains":
		if isString {
			return func(value gjson.Result) bool { return strings.Contains(value.String(), text) }
		}
	case ".regex":
		if isString {
			pattern, err := regexp.Compile(text)
			if err != nil {
				return refuse(err.Error())
			}
			return func(value gjson.Result) bool { return pattern.MatchString(value.String()) }
		}
	}
	return refuse(name + " is not known, or has another type of argument")
}

func judge(filter, event string) (verdict interface{}) {
	defer func() {
		if words := recover(); words != nil {
			if _, ok := words.(mistake); !ok {
				panic(words)
			}
			verdict = "mistake"
		}
	}()
	if !gjson.Valid(filter) {
		return "mistake"
	}
	return all(gjson.Parse(filter))(gjson.Parse(event))
}

func main() {
	input, err := io.ReadAll(os.Stdin)
	if err != nil {
		panic(err)
	}
	verdicts := []interface{}{}
	for _, one := range gjson.ParseBytes(input).Array() {
		verdicts = append(verdicts, judge(one.Get("filter").String(), one.Get("event").String()))
	}
	output, err := json.Marshal(verdicts)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(output))
}
