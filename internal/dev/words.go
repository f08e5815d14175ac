package dev

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"strings"
)

// words are short, easy to type and hard to mistake for one another: 256 of them, so eight bits each.
const words = `
acorn agate alder amber anchor anvil apple apron arrow aspen atlas attic badge bagel bamboo banjo barley barrel basil basket
beacon beaver bellow birch biscuit bison blanket blossom bobbin bonnet border bottle boulder bramble brass breeze bridge bronze
bucket buckle bugle butter button cabin cable cactus camel candle canoe canvas canyon carbon cargo carpet carrot castle cedar
cello chalk cherry chimney cider cinder circle citrus clover cobalt cocoa comet copper coral cotton cradle crater crayon cricket
crystal curtain cymbal dahlia daisy damson dancer dapple dawn delta desert dimple dolphin donkey dragon drizzle drum eagle easel
ebony echo elder ember emerald engine falcon feather fennel fern ferry fiddle field finch flannel flint flute forest fossil fountain
galaxy gander garden garlic garnet geyser ginger glacier glider goblet granite grape gravel grove guitar hammer hammock harbor harvest
hazel heather hedge helmet heron hickory hollow honey hornet iceberg igloo indigo iris island ivory jacket jasmine jasper jelly jigsaw
jungle juniper kayak kernel kettle kiln kitten koala ladder lagoon lantern larch laurel lemon lentil lilac linen lizard lobster lotus
lumber magnet mango maple marble meadow melon mint mirror mitten moss mustard nectar needle nickel nutmeg oasis oat olive onyx
opal orange orchard orchid otter oyster paddle panda papaya parsley pebble pepper pewter piano pigeon pillow pine piper plum pocket
pollen poplar poppy potter prairie puffin pumpkin quartz quilt rabbit radish raven ribbon river robin rocket saddle saffron salmon
sandal satchel shell sickle silver sparrow spruce squash starling sunset tangerine teapot thistle thunder timber topaz trumpet tulip
tunnel velvet violet walnut willow
`

// passphrase makes a password that a person can type from a terminal: three words and four digits, 37 bits.
// It guards invented people on a loopback interface.
func passphrase() string {
	all := strings.Fields(words)
	pick := func(n int) int {
		i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
		if err != nil {
			panic(err) // the system's source does not fail
		}
		return int(i.Int64())
	}
	return fmt.Sprintf("%s-%s-%s-%04d", all[pick(len(all))], all[pick(len(all))], all[pick(len(all))], pick(10_000))
}
