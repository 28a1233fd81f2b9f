"""Plans and money: Stripe subscriptions, invoices, the inbox of Stripe's events, and what a plan entitles to."""
