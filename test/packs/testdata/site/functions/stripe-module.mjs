import Stripe from 'stripe';

export const handler = async () => [typeof Stripe, new Stripe('sk_test_x').getApiField('host'), Object.keys(Stripe).sort()];
