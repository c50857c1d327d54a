import axios, { AxiosError, AxiosHeaders } from 'axios';

export const handler = async () => [axios.VERSION, typeof AxiosError, new AxiosHeaders({ 'x-a': 'b' }).get('X-A'), axios.getUri({ url: '/a', params: { b: [1, 2] } })];
