package hf

import (
	"encoding/json"
	"fmt"

	"github.com/ballast-ml/ballast/internal/printable"
)

// BERT is the configuration of model_type "bert": an encoder with learnt positions and layer normalisation after each part.
type BERT struct {
	VocabSize         int     `json:"vocab_size"`                   // rows of the word embeddings; 30522
	HiddenSize        int     `json:"hidden_size"`                  // width; 768
	Layers            int     `json:"num_hidden_layers"`            // 12
	Heads             int     `json:"num_attention_heads"`          // must divide HiddenSize; 12
	IntermediateSize  int     `json:"intermediate_size"`            // width inside the feed-forward part; 3072
	Activation        string  `json:"hidden_act"`                   // "gelu", the exact one by erf
	HiddenDropout     float64 `json:"hidden_dropout_prob"`          // in training; 0.1
	AttentionDropout  float64 `json:"attention_probs_dropout_prob"` // in training; 0.1
	MaxPositions      int     `json:"max_position_embeddings"`      // longest text in tokens; 512
	TypeVocabSize     int     `json:"type_vocab_size"`              // kinds of segments; 2
	LayerNormEpsilon  float64 `json:"layer_norm_eps"`               // added to the variance; 1e-12
	InitializerRange  float64 `json:"initializer_range"`            // deviation of first values; 0.02
	PadToken          *int    `json:"pad_token_id"`                 // 0
	PositionEmbedding string  `json:"position_embedding_type"`      // "absolute"
}

// NewBERT returns the defaults of the class.
func NewBERT() BERT {
	pad := 0
	return BERT{VocabSize: 30522, HiddenSize: 768, Layers: 12, Heads: 12, IntermediateSize: 3072, Activation: "gelu", HiddenDropout: 0.1, AttentionDropout: 0.1,
		MaxPositions: 512, TypeVocabSize: 2, LayerNormEpsilon: 1e-12, InitializerRange: 0.02, PadToken: &pad, PositionEmbedding: "absolute"}
}

// Tokens is one token or several: files write eos_token_id as a number or as a list.
type Tokens []int

// UnmarshalJSON reads a number or a list of them.
func (t *Tokens) UnmarshalJSON(data []byte) error {
	one := 0
	if json.Unmarshal(data, &one) == nil {
		*t = Tokens{one}
		return nil
	}
	var several []int
	if err := json.Unmarshal(data, &several); err != nil {
		return fmt.Errorf("token is %s, want a number or a list of numbers", printable.Quote(string(data)))
	}
	*t = several
	return nil
}

// RopeScaling stretches rotary positions beyond the length that was trained.
type RopeScaling struct {
	Type            string  `json:"rope_type"`                        // "llama3", "linear", "dynamic", "yarn"; "type" in older files
	Factor          float64 `json:"factor"`                           // stretch
	LowFreqFactor   float64 `json:"low_freq_factor"`                  // llama3
	HighFreqFactor  float64 `json:"high_freq_factor"`                 // llama3
	OriginalMaximum int     `json:"original_max_position_embeddings"` // length that was trained
	AttentionFactor float64 `json:"attention_factor,omitempty"`       // yarn
	BetaFast        float64 `json:"beta_fast,omitempty"`              // yarn
	BetaSlow        float64 `json:"beta_slow,omitempty"`              // yarn
	Theta           float64 `json:"rope_theta,omitempty"`             // in rope_parameters of newer files
	PartialRotary   float64 `json:"partial_rotary_factor,omitempty"`  // share of a head that turns
}

// UnmarshalJSON accepts the older name of the type.
func (r *RopeScaling) UnmarshalJSON(data []byte) error {
	type plain RopeScaling
	older := struct {
		*plain
		Old string `json:"type"`
	}{plain: (*plain)(r)}
	if err := json.Unmarshal(data, &older); err != nil {
		return err
	}
	if r.Type == "" {
		r.Type = older.Old
	}
	return nil
}

// Llama is the configuration of model_type "llama": a decoder with rotary positions, RMS normalisation before each part and a
// gated feed-forward part.
type Llama struct {
	VocabSize        int          `json:"vocab_size"`              // 32000
	HiddenSize       int          `json:"hidden_size"`             // width; 4096
	IntermediateSize int          `json:"intermediate_size"`       // width inside the feed-forward part; 11008
	Layers           int          `json:"num_hidden_layers"`       // 32
	Heads            int          `json:"num_attention_heads"`     // 32
	KeyValueHeads    int          `json:"num_key_value_heads"`     // as many as Heads where the file does not say
	HeadDim          int          `json:"head_dim"`                // HiddenSize / Heads where the file does not say
	Activation       string       `json:"hidden_act"`              // "silu"
	MaxPositions     int          `json:"max_position_embeddings"` // 2048
	RMSNormEpsilon   float64      `json:"rms_norm_eps"`            // 1e-6
	RopeTheta        float64      `json:"rope_theta"`              // base of the rotary frequencies; 10000
	RopeScaling      *RopeScaling `json:"rope_scaling"`            // nil for none
	AttentionBias    bool         `json:"attention_bias"`          // false
	MLPBias          bool         `json:"mlp_bias"`                // false
	AttentionDropout float64      `json:"attention_dropout"`       // in training; 0
	InitializerRange float64      `json:"initializer_range"`       // 0.02
	BeginToken       *int         `json:"bos_token_id"`            // 1
	EndTokens        Tokens       `json:"eos_token_id"`            // 2
	PadToken         *int         `json:"pad_token_id"`            // nil for none
}

// NewLlama returns the defaults of the class. KeyValueHeads and HeadDim are 0: they follow from other fields.
func NewLlama() Llama {
	begin := 1
	return Llama{VocabSize: 32000, HiddenSize: 4096, IntermediateSize: 11008, Layers: 32, Heads: 32, Activation: "silu", MaxPositions: 2048,
		RMSNormEpsilon: 1e-6, RopeTheta: 10000, InitializerRange: 0.02, BeginToken: &begin, EndTokens: Tokens{2}}
}

// complete fills in what follows from other fields, and what newer files keep under rope_parameters.
func (l *Llama) complete(c *Config) error {
	var newer *RopeScaling
	if err := c.into(map[string]any{"rope_parameters": &newer}); err != nil {
		return err
	}
	if newer != nil {
		if newer.Theta > 0 {
			l.RopeTheta = newer.Theta
		}
		if newer.Type != "" && newer.Type != "default" {
			l.RopeScaling = newer
		}
	}
	if l.RopeScaling != nil && (l.RopeScaling.Type == "" || l.RopeScaling.Type == "default") {
		l.RopeScaling = nil
	}
	if l.KeyValueHeads == 0 {
		l.KeyValueHeads = l.Heads
	}
	if l.HeadDim == 0 && l.Heads > 0 {
		if l.HiddenSize%l.Heads != 0 {
			return &Error{Field: "num_attention_heads", Kind: ErrConfig, Text: fmt.Sprintf("%d does not divide hidden_size %d", l.Heads, l.HiddenSize), Fix: "give head_dim"}
		}
		l.HeadDim = l.HiddenSize / l.Heads
	}
	return nil
}

// ViT is the configuration of model_type "vit": an encoder over patches of an image. The constants that images are
// normalised by stand in preprocessor_config.json.
type ViT struct {
	HiddenSize       int     `json:"hidden_size"`                  // 768
	Layers           int     `json:"num_hidden_layers"`            // 12
	Heads            int     `json:"num_attention_heads"`          // must divide HiddenSize; 12
	IntermediateSize int     `json:"intermediate_size"`            // 3072
	Activation       string  `json:"hidden_act"`                   // "gelu"
	HiddenDropout    float64 `json:"hidden_dropout_prob"`          // in training; 0
	AttentionDropout float64 `json:"attention_probs_dropout_prob"` // in training; 0
	LayerNormEpsilon float64 `json:"layer_norm_eps"`               // 1e-12
	InitializerRange float64 `json:"initializer_range"`            // 0.02
	ImageSize        int     `json:"image_size"`                   // side of an image in pixels; 224
	PatchSize        int     `json:"patch_size"`                   // side of a patch in pixels; 16
	Channels         int     `json:"num_channels"`                 // 3
	QKVBias          bool    `json:"qkv_bias"`                     // true
	EncoderStride    int     `json:"encoder_stride"`               // 16
}

// NewViT returns the defaults of the class.
func NewViT() ViT {
	return ViT{HiddenSize: 768, Layers: 12, Heads: 12, IntermediateSize: 3072, Activation: "gelu", LayerNormEpsilon: 1e-12, InitializerRange: 0.02,
		ImageSize: 224, PatchSize: 16, Channels: 3, QKVBias: true, EncoderStride: 16}
}

// ResNet is the configuration of model_type "resnet". Its batch normalisation adds 1e-5 to the variance.
type ResNet struct {
	Channels               int    `json:"num_channels"`              // 3
	EmbeddingSize          int    `json:"embedding_size"`            // channels after the first convolution; 64
	HiddenSizes            []int  `json:"hidden_sizes"`              // channels of each stage; 256, 512, 1024, 2048
	Depths                 []int  `json:"depths"`                    // layers of each stage; 3, 4, 6, 3
	LayerType              string `json:"layer_type"`                // "bottleneck" or "basic"
	Activation             string `json:"hidden_act"`                // "relu"
	DownsampleInFirstStage bool   `json:"downsample_in_first_stage"` // false
	DownsampleInBottleneck bool   `json:"downsample_in_bottleneck"`  // false
}

// NewResNet returns the defaults of the class.
func NewResNet() ResNet {
	return ResNet{Channels: 3, EmbeddingSize: 64, HiddenSizes: []int{256, 512, 1024, 2048}, Depths: []int{3, 4, 6, 3}, LayerType: "bottleneck", Activation: "relu"}
}
