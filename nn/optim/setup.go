package optim

import "errors"

// Setup is an optimizer with its schedule and rules: all that moves some variables.
type Setup struct {
	Optimizer Choice       `json:"optimizer"`
	Schedule  Schedule     `json:"schedule"`
	Rules     []RuleChoice `json:"rules"` // between gradient and weights, in this order
}

// Validate says what is wrong with the setup, and how to fix it.
func (s Setup) Validate() error {
	if s.Optimizer.Optimizer == nil {
		return errors.New("recipe: optimizer is missing; name one, for example optimizer: {name: sgd}")
	}
	errs := []error{s.Optimizer.Validate(), s.Schedule.Validate()}
	for _, rule := range s.Rules {
		if rule.Rule == nil {
			errs = append(errs, errors.New("recipe: an entry of rules is empty; name one, for example {name: clip-norm}"))
			continue
		}
		errs = append(errs, rule.Validate())
	}
	return errors.Join(errs...)
}
